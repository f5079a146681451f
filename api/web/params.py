"""Parameters, declared once: the same declaration parses them and describes them in OpenAPI.

A route's parameters are a keyword-only dataclass whose fields are made by `query`, `path` or `header`. `read`
fills one from a request, or names everything wrong at once: what does not parse, is missing, given twice or
unknown.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID as UUIDValue  # noqa: N811 - UUID is the kind of parameter here

from aiohttp import web

from api.web.gate import TICKET
from api.web.problems import BadParameters, ParameterError
from schemas.money import parse_amount

T = TypeVar("T")
Place = Literal["query", "path", "header"]
Check = Callable[[Mapping[str, Any]], Iterable[ParameterError]]
"""Gets the values that parsed, by field name, and yields what does not fit together."""

_SHOWN_NAME = 100
_NO_CACHE = "_"
"""What jQuery and others add, with the time, to get past a cache."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How a text becomes a value (a ValueError has what was expected), and its JSON Schema."""

    parse: Callable[[str], T]
    schema: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One declared parameter; `blank` says that an empty text counts as not given."""

    place: Place
    kind: Kind[Any]
    about: str
    name: str = ""
    field: str = ""
    required: bool = False
    default: Any = None
    blank: bool = False
    aliases: Sequence[str] = ()
    """Other names that clients give it; the first that is given outweighs the rest, and the name itself."""

    def is_asked_as(self, name: str) -> bool:
        """Whether it may stand in the query under this name."""
        return self.place == "query" and (name == self.name or name in self.aliases)

    def texts(self, request: web.Request) -> Sequence[str]:
        """The texts given for it, with the blank ones left out where they count as none."""
        if self.place == "path":
            return [request.match_info[self.name]]
        source = request.query if self.place == "query" else request.headers
        given = (
            [text for text in source.getall(name, ()) if text or not self.blank]
            for name in (*self.aliases, self.name)
        )
        return next(filter(None, given), ())


def query(kind: Kind[T], about: str, **more: Any) -> Any:
    """A query parameter, with more of a Parameter's fields; its value is `default` when it is not given."""
    return _field(Parameter(place="query", kind=kind, about=about, **more))


def path(kind: Kind[T], about: str) -> Any:
    """A part of the path."""
    return _field(Parameter(place="path", kind=kind, about=about, required=True))


def header(name: str, kind: Kind[T], about: str) -> Any:
    """A request header; empty counts as not given."""
    return _field(Parameter(place="header", kind=kind, about=about, blank=True, name=name))


def _field(parameter: Parameter) -> Any:
    default = dataclasses.MISSING if parameter.required else parameter.default
    return dataclasses.field(default=default, metadata={"parameter": parameter})


def declared(parameters: type[Any]) -> tuple[Parameter, ...]:
    """The parameters that a dataclass declares, in its order; looked up once."""
    if parameters not in _declared:
        found = ((field.name, field.metadata["parameter"]) for field in dataclasses.fields(parameters))
        _declared[parameters] = tuple(
            dataclasses.replace(one, name=one.name or field, field=field) for field, one in found
        )
    return _declared[parameters]


_declared: dict[type[Any], tuple[Parameter, ...]] = {}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NoParameters:
    """A route without parameters."""


def read(parameters: type[T], request: web.Request, check: Check | None = None, *, strict: bool = True) -> T:
    """The request's parameters as an instance of `parameters`; unless `strict`, unknown ones are ignored.

    Raises:
        BadParameters: Some do not parse, are missing, given twice, unknown, or do not fit together.
    """
    known = declared(parameters)
    errors = list(_unknown(known, request)) if strict else []
    values: dict[str, Any] = {}
    for parameter in known:
        try:
            values[parameter.field] = _value(parameter, parameter.texts(request))
        except ValueError as refused:
            errors.append(ParameterError(parameter.name, str(refused)))
    errors.extend(check(values) if check else ())
    if errors:
        raise BadParameters(errors)
    return parameters(**values)


def _unknown(known: Sequence[Parameter], request: web.Request) -> Iterator[ParameterError]:
    for name in dict.fromkeys(request.query):
        if name not in {_NO_CACHE, TICKET} and not any(one.is_asked_as(name) for one in known):
            yield ParameterError(name[:_SHOWN_NAME], "is not a parameter of this route")


def _value(parameter: Parameter, texts: Sequence[str]) -> Any:
    if len(texts) > 1:
        raise ValueError("is given more than once")
    if not texts:
        if parameter.required:
            raise ValueError("is required")
        return parameter.default
    return parameter.kind.parse(texts[0])


# --- The kinds -------------------------------------------------------------------------------

_INTEGER = re.compile(r"[0-9]{1,9}", re.ASCII)
_MOMENT = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?P<clock>[Tt ](?P<minutes>\d{2}:\d{2})(?P<seconds>:\d{2})?"
    r"([.,](?P<fraction>\d{1,9}))?(?P<offset>[Zz]|[-+ ]\d{2}(:?\d{2})?)?)?",
    re.ASCII,
)
_NO_MOMENT = "must be a date or an RFC 3339 time such as 2018-04-01T00:00:31Z"
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LAST_OF_DAY = timedelta(days=1) - timedelta(microseconds=1)


def _matching(pattern: str, expected: str, convert: Callable[[str], T]) -> Callable[[str], T]:
    """A parser of texts that match the whole pattern, in either case; a ValueError has what was expected."""
    compiled = re.compile(pattern, re.ASCII | re.IGNORECASE)

    def parse(text: str) -> T:
        if not compiled.fullmatch(text):
            raise ValueError(expected)
        return convert(text)

    return parse


def _uuids_from(prefix: str) -> tuple[str, str]:
    """The first and the last UUID that begin so."""
    digits = prefix.replace("-", "")
    return str(UUIDValue(digits.ljust(32, "0"))), str(UUIDValue(digits.ljust(32, "f")))


def _amount(text: str) -> Decimal:
    try:
        return Decimal(parse_amount(text)).scaleb(-2)
    except ValueError:
        raise ValueError("must be an amount, not negative, of at most two decimals such as 12.30") from None


def _moment(text: str, *, day_ends: bool) -> datetime:
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(_NO_MOMENT)
    try:
        if match["clock"] is None:
            day = datetime.combine(date.fromisoformat(match["date"]), time(), UTC)
            return day + _LAST_OF_DAY if day_ends else day
        # A "+" that was not percent-encoded arrives as a space.
        offset = (match["offset"] or "Z").replace(" ", "+").upper()
        fraction = (match["fraction"] or "0")[:6].ljust(6, "0")
        clock = f"{match['minutes']}{match['seconds'] or ':00'}.{fraction}"
        return datetime.fromisoformat(f"{match['date']}T{clock}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(_NO_MOMENT) from None


def integer(minimum: int, maximum: int) -> Kind[int]:
    """A whole number in these bounds, both included."""

    def parse(text: str) -> int:
        if not _INTEGER.fullmatch(text) or not minimum <= int(text) <= maximum:
            raise ValueError(f"must be a whole number from {minimum} to {maximum}")
        return int(text)

    return Kind(parse, {"type": "integer", "minimum": minimum, "maximum": maximum, "examples": [100]})


def text(most: int, example: str) -> Kind[str]:
    """Text that a row could have: 1 to `most` characters, none of them a control character."""

    def parse(given: str) -> str:
        if not 0 < len(given) <= most or _UNFIT.search(given):
            raise ValueError(f"must be 1 to {most} characters, without control characters")
        return given

    pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$"
    schema = {"type": "string", "minLength": 1, "maxLength": most, "pattern": pattern, "examples": [example]}
    return Kind(parse, schema)


def one_of(*texts: str) -> Kind[str]:
    """One of these texts."""
    expected = f"must be {', '.join(texts[:-1])} or {texts[-1]}"
    return Kind(
        _matching("|".join(map(re.escape, texts)), expected, str.lower),
        {"type": "string", "enum": list(texts), "examples": [texts[-1]]},
    )


def file_named(example: str) -> Kind[str]:
    """The name of a file, such as this one."""
    return Kind(str, {"type": "string", "examples": [example]})


EXAMPLE_UUID = "0b6c2c1e-3d4e-4f5a-8b9c-0d1e2f3a4b5c"

UUID = Kind(
    _matching(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", f"must be a UUID such as {EXAMPLE_UUID}", str.lower
    ),
    {"type": "string", "format": "uuid", "examples": [EXAMPLE_UUID]},
)
UUID_PREFIX = Kind(
    _matching(
        r"(-*[0-9a-f]){0,32}-*", f"must be how a UUID begins, such as {EXAMPLE_UUID[:11]}", _uuids_from
    ),
    {"type": "string", "pattern": "^[0-9A-Fa-f-]{0,36}$", "examples": [EXAMPLE_UUID[:11]]},
)
COUNTRY = Kind(
    _matching("[a-z]{2}", "must be two letters such as IN", str.upper),
    {"type": "string", "pattern": "^[A-Za-z]{2}$", "examples": ["IN"]},
)
CURRENCY = Kind(
    _matching("[a-z]{3}", "must be three letters such as INR", str.upper),
    {"type": "string", "pattern": "^[A-Za-z]{3}$", "examples": ["INR"]},
)
MILLISECONDS = Kind(
    _matching(r"[0-9]{1,15}", "must be milliseconds since 1970", int),
    {"type": "integer", "minimum": 0, "maximum": 999_999_999_999_999, "examples": [1522540831000]},
)
WAIT = Kind(
    _matching(
        "([12]?[0-9]|30)s|[0-9]{1,4}ms",
        "must be a time such as 1s or 500ms, at most 30s",
        lambda text: int(text.lower().rstrip("ms")) / (1000 if text[-2:].lower() == "ms" else 1),
    ),
    {"type": "string", "pattern": "^(([12]?[0-9]|30)s|[0-9]{1,4}ms)$", "examples": ["1s", "500ms"]},
)
AMOUNT = Kind(
    _amount,
    {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,2})?$", "examples": ["12.30", "100"]},
)
FLAG = Kind(
    _matching(
        "true|false|1|0|yes|no",
        "must be true or false",
        lambda text: text.lower() in {"true", "1", "yes"},
    ),
    {"type": "boolean", "examples": [True]},
)
CURSOR = Kind(
    _matching(r"[A-Za-z0-9_.-]{0,200}", "is not one that this service gave out", str),
    {"type": "string", "pattern": "^[A-Za-z0-9_.-]{0,200}$", "examples": [""]},  # no other is good everywhere
)
FROM = Kind(
    lambda text: _moment(text, day_ends=False),
    {"type": "string", "format": "date-time", "examples": ["2018-04-01T00:00:00Z"]},
)
TO = Kind(
    lambda text: _moment(text, day_ends=True),
    {"type": "string", "format": "date-time", "examples": ["2018-04-30T23:59:59Z"]},
)
