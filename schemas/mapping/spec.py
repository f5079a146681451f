"""A mapping as it is written down: where each field of a transaction comes from, and how it is read."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Path = Annotated[str, Meta(min_length=1, max_length=400)]
Paths = Path | Annotated[list[Path], Meta(min_length=1, max_length=100)]
Scalar = str | int | bool
Short = Annotated[str, Meta(max_length=100)]
Removed = Annotated[str, Meta(max_length=20, description="Characters that are left out wherever they stand.")]
Names = Annotated[list[Path], Meta(max_length=1000)]
Words = Annotated[dict[str, str], Meta(description="What each text of the source becomes.")]
Mark = Annotated[str, Meta(description="The mark before the decimals, or between thousands.")]


class _Written(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"source": "from", "equals": "is", "one_of": "in", "differs": "not", "none_of": "not_in"},
):
    """A table of the file; what Python has a word for itself is named otherwise here."""


class Condition(_Written, frozen=True):
    """What a value of the record has to be, by exactly one of the tests; values are compared as text."""

    source: Annotated[Path, Meta(description="Which value.")]
    equals: Scalar | None = None
    one_of: list[Scalar] | None = None
    differs: Scalar | None = None
    none_of: list[Scalar] | None = None
    starts: Annotated[str | None, Meta(description="How it begins.")] = None
    present: Annotated[bool | None, Meta(description="Whether there is one.")] = None


class IdSpec(_Written, frozen=True):
    """An id: a UUID as it is, or one made of any text, the same for the same text everywhere."""

    source: Annotated[
        Paths | None,
        Meta(description='Of several the first that is not empty; all for a hash ("*": of all).'),
    ] = None
    value: Annotated[str, Meta(description="One for all records.")] = ""
    read: Annotated[
        Literal["uuid", "uuid5", "hash"],
        Meta(description="A UUID; made of a text; made of several values together."),
    ] = "uuid"
    space: Annotated[Short, Meta(description="Keeps the same texts of different sources apart.")] = ""
    keep: Annotated[
        bool | None, Meta(description="Whether meta_data keeps the original; by default that of uuid5.")
    ] = None
    remove: Removed = ""


class AmountSpec(_Written, frozen=True):
    """An amount, exact to the last digit."""

    source: Annotated[Paths, Meta(description="Of several the first that is not empty.")]
    decimal: Mark = ""
    thousands: Mark = ""
    minor_units: Annotated[
        bool | Annotated[int, Meta(ge=0, le=6)],
        Meta(description="It counts cents or the like: as many decimals as the currency has, or this many."),
    ] = False
    exponents: Annotated[
        dict[str, Annotated[int, Meta(ge=0, le=6)]],
        Meta(description="Decimals of currencies that the source has otherwise than ISO 4217."),
    ] = {}
    sign: Annotated[
        Literal["refuse negative", "absolute", "skip negative", "skip positive"],
        Meta(description="What becomes of negative ones; with skip positive they are the payments."),
    ] = "refuse negative"
    round: Annotated[
        Literal["", "half even", "half up", "down"], Meta(description="To two decimals; by default refused.")
    ] = ""
    remove: Removed = ""


class DateSpec(_Written, frozen=True):
    """A date: text, counted since 1970 (epoch), or steps since a day; RFC 3339 where none is said."""

    source: Annotated[Paths, Meta(description="Several are joined by a space.")]
    format: Annotated[
        str | list[str],
        Meta(description="As strptime has it, e.g. %d/%m/%Y %H:%M; of several the first that fits."),
    ] = []
    zone: Annotated[Short, Meta(description="Where the clock was: Europe/Rome, UTC or +05:30.")] = ""
    zone_from: Annotated[Path | None, Meta(description="Which value says the zone.")] = None
    zones: Annotated[dict[str, str], Meta(description="What words of zone_from stand for.")] = {}
    epoch: Literal["", "s", "ms", "us", "ns"] = ""
    unit: Literal["", "second", "minute", "hour", "day"] = ""
    since: Annotated[Short, Meta(description="Where steps begin: a date, or a date and time.")] = ""
    clock_change: Annotated[
        Literal["refuse", "earlier", "later"],
        Meta(description="Which of two times is meant where clocks were put back or forward."),
    ] = "refuse"
    remove: Removed = ""


class TextSpec(_Written, frozen=True):
    """A text."""

    source: Annotated[Paths | None, Meta(description="Of several the first that is not empty.")] = None
    value: Annotated[str | None, Meta(description="One for all records.")] = None
    values: Words = {}
    otherwise: Annotated[
        str | None, Meta(description='For texts that values lacks, "*": as they are; by default refused.')
    ] = None
    default: Annotated[str | None, Meta(description="Where the source has none.")] = None
    cut: Annotated[bool, Meta(description="Whether a text that is too long is cut.")] = False
    when: Annotated[Condition | None, Meta(description="Where there is one at all.")] = None
    remove: Removed = ""


class MetaDataSpec(_Written, frozen=True):
    """What is kept beside the fields."""

    source: Annotated[Path | None, Meta(description="An object that is taken as it is.")] = None
    keep: Annotated[
        Literal["rest"] | Names, Meta(description='Which values, or "rest": all that no field is read from.')
    ] = []
    drop: Annotated[Names, Meta(description="Of the rest.")] = []
    remove: Removed = ""


class SourceSpec(_Written, frozen=True):
    """What is known of the source; all may be left out."""

    about: Short = ""
    format: Annotated[
        Short, Meta(description="How records are written: found by their content if not said.")
    ] = ""
    encoding: Annotated[Short, Meta(description="Of a file's text, as utf-8 or latin-1.")] = ""
    delimiter: Annotated[str, Meta(max_length=1, description="Between a file's columns.")] = ""
    columns: Annotated[Names, Meta(description="By which the layout is recognised.")] = []


class MappingSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How any record becomes a transaction."""

    id: IdSpec
    user_id: IdSpec
    amount: AmountSpec
    txn_date: DateSpec
    currency: TextSpec
    status: TextSpec
    merchant_id: TextSpec | None = None
    card_id: TextSpec | None = None
    country: TextSpec | None = None
    channel: TextSpec | None = None
    meta_data: MetaDataSpec = MetaDataSpec()
    only: Annotated[
        list[Condition], Meta(description="Which records are taken: where all of them hold.")
    ] = []
    source: SourceSpec = SourceSpec()
