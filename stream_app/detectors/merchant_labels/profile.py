"""What history taught the detector, of amounts and of merchants."""

from typing import Annotated

import msgspec

from stream_app.detectors.odds.profile import Profile as OfAmounts

Share = Annotated[int, msgspec.Meta(ge=1, le=999)]


class Profile(OfAmounts, frozen=True, forbid_unknown_fields=True):
    """What `odds` knows, and how runs of fraud labels go on; the defaults are for who has no history."""

    sure: Annotated[
        tuple[Share, ...],
        msgspec.Meta(
            min_length=1,
            max_length=255,
            description="At how many of 1,000 merchants all is fraud, after 1, 2, ... frauds in a row.",
        ),
    ] = (400, 900, 970)
    lasts: Annotated[
        tuple[Share, ...],
        msgspec.Meta(
            min_length=1,
            max_length=400,
            description="At how many of 1,000 such it still is a day later, 0, 1, ... days after the first.",
        ),
    ] = (970,)
