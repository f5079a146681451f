"""Labels as people write them, and the columns that they are in."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from stream_app.commands.backtest.rows import Label

LABEL: Final = "label"
SCENARIO: Final = "label_scenario"
_WORDS: Final[dict[str, Label]] = {
    **dict.fromkeys(["1", "1.0", "true", "t", "yes", "y", "fraud", "fraudulent"], True),
    **dict.fromkeys(["0", "0.0", "false", "f", "no", "n", "legitimate", "legit", "genuine"], False),
    **dict.fromkeys(["", "null", "nan", "none", "unknown", "n/a", "<na>", "\\n"], None),
}
_NAMES: Final = {
    LABEL: ["label", "isfraud", "fraud", "txfraud", "class"],
    SCENARIO: ["labelscenario", "txfraudscenario"],
}
_SHOWN = 5


class LabelWords(dict[str, Label]):
    """What each text says; one that says nothing is as if there were none, and is kept to be named.

    >>> words = LabelWords()
    >>> words["Fraud"], words["0"], words[""], words["maybe"], words["maybe"], words.unreadable
    (True, False, None, None, None, ['maybe'])
    """

    def __init__(self) -> None:
        super().__init__(_WORDS)
        self.unreadable: list[str] = []
        """The first few texts that are no label."""

    def __missing__(self, text: str) -> Label:
        word = text.strip().lower()
        if word not in _WORDS and len(self.unreadable) < _SHOWN:
            self.unreadable.append(text)
        label = self[text] = _WORDS.get(word)
        return label


def label_columns(header: Iterable[str], chosen: Mapping[str, str]) -> dict[str, str]:
    """The columns of labels and of their scenarios, where there are any; `chosen` ones come first.

    >>> label_columns(["id", "TX_FRAUD", "TX_FRAUD_SCENARIO"], {})
    {'label': 'TX_FRAUD', 'label_scenario': 'TX_FRAUD_SCENARIO'}
    """
    plain = {re.sub(r"[\W_]+", "", name).casefold(): name for name in header}
    fitting = {field: [plain[name] for name in names if name in plain] for field, names in _NAMES.items()}
    found = {field: names[0] for field, names in fitting.items() if names}
    return found | {field: column for field, column in chosen.items() if field in _NAMES}
