"""Python code that reads data of one Avro schema, in a third of the time of a walk through the schema.

Lengths are not compared with what is left, as slices end where the data do: of data that are cut off, the end
lies behind them. Numbers of items are, so that nothing is read for longer than there are data.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from infra.ingest.avro_values import CALLED

Schema: TypeAlias = Any
"""As fastavro parses it: a text, a list for a union, or a dict."""

_RECORDS = frozenset(["record", "error"])

_SIZE = """\
size = data[at]
if size & 129: size, at = length(data, at)
else: at += 1
"""  # twice the size; 129 are the bits of a number that goes on, and of one below 0
_NUMBER = """\
{to} = data[at]
if {to} < 128: {to}, at = {to} >> 1 ^ -({to} & 1), at + 1
else: {to}, at = number(data, at)
"""
_SLICE = "data[at : (at := at + (size >> 1))]"
_PRIMITIVES: Final = {
    "null": "{to} = None",
    "boolean": "{to}, at = data[at] != 0, at + 1",
    "int": _NUMBER,
    "long": _NUMBER,
    "float": "({to},), at = float_at(data, at), at + 4",
    "double": "({to},), at = double_at(data, at), at + 8",
    "bytes": f"{_SIZE}{{to}} = {_SLICE}",
    "string": f"{_SIZE}{{to}} = {_SLICE}.decode()",
}
_DECIMAL = """\
{lines}
{to} = scaled(whole({to}, 'big', signed=True), {scale}) if len({to}) <= longest else too_long({to})
"""
_MOMENT = """\
a, b, c, d, e, f = data[at : at + 6].ljust(6)
if a & 129 == 128 and b > 127 and c > 127 and d > 127 and e > 127 and f < 128:
    {to} = epoch + half * (a + (b << 7) + (c << 14) + (d << 21) + (e << 28) + (f << 35) - highest)
    at += 6
else: {to}, at = moment(data, at)
"""  # a time in milliseconds takes six bytes from 1987 to 2039, a loop over them half as long again
# Others are left as they are written, a text or a number: mappings do not know what they would become.
_LOGICAL: Final = {
    "bytes-decimal": _DECIMAL,
    "fixed-decimal": _DECIMAL,
    "int-date": "{lines}{to} = day({to} + days)",
    "long-timestamp-millis": _MOMENT,
    "long-timestamp-micros": "{lines}{to} = epoch + microseconds * {to}",
    "long-local-timestamp-millis": "{lines}{to} = local_epoch + milliseconds * {to}",
    "long-local-timestamp-micros": "{lines}{to} = local_epoch + microseconds * {to}",
}
_READ = """\
def read(data, at=0):
    try:
{body}
    except Exception as error: raise unread(error) from None
    if at != len(data): raise left(len(data) - at)
    return {value}
"""
_FUNCTION = """\
def {name}(data, at):
{body}
    return {value}, at
"""
_BLOCKS = """\
found = {empty}
items, at = {block}(data, at)
while items:
    for _ in range(items):
{item}
    items, at = {block}(data, at)
"""


def compiled(schema: Schema, named: Mapping[str, Schema]) -> Callable[[bytes], Any]:
    """What reads data of this schema, and of those that it names.

    It raises Unmapped where the data do not fit.

    Raises:
        Exception: The schema is none that fastavro parses.
    """
    code = Code(named)
    code.write_reader(schema)
    values = {**CALLED, **code.constants}
    exec(code.text, values)  # noqa: S102 - written below alone: of the schema it has names, as literals
    found: Callable[[bytes], Any] = values["read"]
    return found


class Code:
    """The text of functions that read values of schemas.

    >>> code = Code({})
    >>> code.write_reader({"type": "record", "fields": [{"name": "ccy", "type": "string"}]})
    >>> print(code.text)
    def read(data, at=0):
        try:
            size = data[at]
            if size & 129: size, at = length(data, at)
            else: at += 1
            v0 = data[at : (at := at + (size >> 1))].decode()
        except Exception as error: raise unread(error) from None
        if at != len(data): raise left(len(data) - at)
        return {'ccy': v0}
    <BLANKLINE>
    """

    def __init__(self, named: Mapping[str, Schema]) -> None:
        self._named = named
        self._functions: list[str] = []
        self._of_records: dict[str, str] = {}
        self.constants: dict[str, Any] = {}
        """What the text calls by names."""

    @property
    def text(self) -> str:
        """All functions."""
        return "\n".join(self._functions)

    def write_reader(self, schema: Schema) -> None:
        """Write the function `read`."""
        body, value = self._body(schema)
        self._functions.append(_READ.format(body=_indented(body, 2), value=value))

    def _body(self, schema: Schema) -> tuple[str, str]:
        """Lines that read a value, and what it is then called."""
        return self._BODIES.get(_kind(schema), Code._single)(self, schema)

    def _function_of(self, schema: Schema) -> str:
        """The name of a function that reads a value of the schema."""
        name = f"f{len(self._functions)}"
        self._functions.append("")  # the name is taken, as a record may have itself in it
        if "name" in schema:
            self._of_records[schema["name"]] = name
        body, value = self._body(schema)
        self._functions[int(name[1:])] = _FUNCTION.format(name=name, body=_indented(body), value=value)
        return name

    def _record(self, schema: Schema) -> tuple[str, str]:
        fields = schema["fields"]
        body = "\n".join(self._value(field["type"], f"v{number}") for number, field in enumerate(fields))
        pairs = (f"{_literal(field['name'])}: v{number}" for number, field in enumerate(fields))
        return body, f"{{{', '.join(pairs)}}}"

    def _array(self, schema: Schema) -> tuple[str, str]:
        block = "block" if self._takes_bytes(schema["items"], set()) else "no_block"
        item = f"{self._value(schema['items'], 'item')}\nfound.append(item)"
        return _BLOCKS.format(empty="[]", item=_indented(item, 2), block=block), "found"

    def _map(self, schema: Schema) -> tuple[str, str]:
        key = _PRIMITIVES["string"].format(to="key")
        item = f"{key}\n{self._value(schema['values'], 'item')}\nfound[key] = item"
        return _BLOCKS.format(empty="{}", item=_indented(item, 2), block="block"), "found"

    def _single(self, schema: Schema) -> tuple[str, str]:
        return self._value(schema, "found"), "found"

    _BODIES: Final[Mapping[str, Callable[..., tuple[str, str]]]] = {
        "record": _record,
        "error": _record,
        "array": _array,
        "map": _map,
    }

    def _value(self, schema: Schema, to: str) -> str:
        """Lines that read a value to a variable."""
        schema = self._resolved(schema)
        kind = _kind(schema)
        if kind in self._BODIES:
            known = self._of_records.get(schema["name"]) if "name" in schema else None
            return f"{to}, at = {known or self._function_of(schema)}(data, at)"
        lines = self._KINDS[kind](self, schema) if kind in self._KINDS else _PRIMITIVES[kind]
        if isinstance(schema, dict) and (logical := f"{kind}-{schema.get('logicalType')}") in _LOGICAL:
            scale = self._constant(Decimal(-(schema.get("scale") or 0)))
            lines = _LOGICAL[logical].replace("{lines}", lines).replace("{scale}", scale)
        return lines.format(to=to)

    def _union(self, schema: Sequence[Schema]) -> str:
        lines = [_SIZE]
        for number, branch in sorted(enumerate(schema), key=lambda one: one[1] == "null"):
            word = "elif" if len(lines) > 1 else "if"
            lines += [f"{word} size == {2 * number}:", _indented(self._value(branch, "{to}"))]
        return "\n".join([*lines, "else: no_branch(size)"])

    def _enum(self, schema: Schema) -> str:
        symbols = {2 * number: symbol for number, symbol in enumerate(schema["symbols"])}
        return f"{_SIZE}{{to}} = {self._constant(symbols)}[size]"

    def _fixed(self, schema: Schema) -> str:
        size = schema["size"]
        if type(size) is not int or size < 0:
            raise ValueError(f"{size!r} is no size")
        return f"{{to}} = data[at : (at := at + {size})]"

    _KINDS: Final[Mapping[str, Callable[..., str]]] = {"union": _union, "enum": _enum, "fixed": _fixed}

    def _constant(self, value: object) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def _resolved(self, schema: Schema) -> Schema:
        is_name = isinstance(schema, str) and schema not in _PRIMITIVES
        return self._named[schema] if is_name else schema

    def _takes_bytes(self, schema: Schema, seen: set[str]) -> bool:
        """Whether each of its values does; of records, those that were seen do not, or are around this."""
        schema = self._resolved(schema)
        kind = _kind(schema)
        if kind not in _RECORDS:
            return kind != "null" and (kind != "fixed" or schema["size"] != 0)
        if schema["name"] in seen:
            return False
        seen.add(schema["name"])
        return any(self._takes_bytes(field["type"], seen) for field in schema["fields"])


def _kind(schema: Schema) -> str:
    if isinstance(schema, list):
        return "union"
    return str(schema["type"] if isinstance(schema, dict) else schema)


def _literal(name: object) -> str:
    if not isinstance(name, str):
        raise ValueError(f"{name!r} is no name of a field")  # noqa: TRY004 - as all that is said of schemas
    return repr(name)


def _indented(lines: str, depth: int = 1) -> str:
    return "\n".join(f"{'    ' * depth}{line}" for line in lines.splitlines() if line)
