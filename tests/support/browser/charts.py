"""What a person sees of a chart, which is drawn on a canvas: blots of a colour, and where they are."""

from dataclasses import dataclass

from playwright.async_api import Locator


@dataclass(frozen=True, slots=True)
class Blot:
    """Pixels of one colour that touch each other, as the rectangle around them, in the chart's own pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def middle(self) -> tuple[float, float]:
        """Where a pointer would meet it."""
        return self.left + self.width / 2, self.top + self.height / 2

    def joined(self, other: "Blot") -> "Blot":
        """The rectangle around both."""
        left, top = min(self.left, other.left), min(self.top, other.top)
        right = max(self.left + self.width, other.left + other.width)
        bottom = max(self.top + self.height, other.top + other.height)
        return Blot(left, top, right - left, bottom - top)


_BLOTS = """(chart, [name, opacity]) => {
  const canvas = chart.querySelector("canvas");
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const seen = copy.getImageData(0, 0, width, height).data;
  copy.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
  copy.fillRect(0, 0, 1, 1);
  const [red, green, blue] = copy.getImageData(0, 0, 1, 1).data;
  const near = (value, wanted) => Math.abs(value - wanted) < 32;
  const isOf = (place) => seen[4 * place + 3] > 200 * opacity
    && near(seen[4 * place], red) && near(seen[4 * place + 1], green) && near(seen[4 * place + 2], blue);
  const left = new Set(Array.from({ length: width * height }, (_, place) => place).filter(isOf));
  const blots = [];
  for (const start of left) {
    const [across, down, open] = [[], [], [start]];
    left.delete(start);
    while (open.length) {
      const place = open.pop();
      across.push(place % width);
      down.push(Math.floor(place / width));
      for (const step of [1, -1, width, -width, width + 1, width - 1, 1 - width, -1 - width]) {
        if (left.delete(place + step)) open.push(place + step);
      }
    }
    const [x, y] = [Math.min(...across), Math.min(...down)];
    blots.push({ left: x, top: y, width: Math.max(...across) - x + 1, height: Math.max(...down) - y + 1 });
  }
  return blots;
}"""


async def blots(chart: Locator, colour: str, *, opacity: float = 1) -> list[Blot]:
    """All blots of a colour, by its name in style.css, from the left; `opacity` is what it is drawn with."""
    found: list[dict[str, int]] = await chart.evaluate(_BLOTS, [colour, opacity])
    return sorted((Blot(**one) for one in found), key=lambda blot: (blot.left, blot.top))
