"""What the page asks, as an address and as a command: both say the same, and all of it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import parse_qsl, urlencode

from jaxscale._schema import option_of
from jaxscale.exploring.fields import FIELDS, LEVER

LONGEST = 400  # characters of one text, as of the coefficients of a law
MOST_LEVERS = 8
MOST_FIELDS = 200  # of an address


@dataclass(frozen=True)
class Question:
    """Texts by the names of the options of `jaxscale plan`, without dashes; levers as `lever.bits`.

    A text that is not given is not there: the command's default holds. Texts are as a person
    writes them and may be wrong; `read` of `jaxscale.exploring.reading` finds that out.

    Examples:
        >>> from jaxscale.exploring import Question
        >>> question = Question({"like_params": "70B", "inference_tokens": "10T"})
        >>> question.command()
        'jaxscale plan --like-params 70B --inference-tokens 10T'
        >>> Question.of_query(question.query()) == question
        True
    """

    texts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {
            name: text.strip()
            for name, text in self.texts.items()
            if is_field(name) and text.strip()
        }
        object.__setattr__(self, "texts", MappingProxyType(dict(sorted(kept.items(), key=_order))))

    @classmethod
    def of_query(cls, query: str) -> "Question":
        """The question of an address: what follows its question mark.

        Names that are no fields are ignored. Texts are cut at a length that no field takes; an
        address of too many fields asks nothing.
        """
        try:
            pairs = parse_qsl(query.removeprefix("?"), max_num_fields=MOST_FIELDS)
        except ValueError:
            return cls()
        return cls({name: text[: LONGEST + 1] for name, text in pairs})

    def query(self) -> str:
        """The question as the part of an address after its question mark."""
        return urlencode(dict(self.texts))

    def command(self) -> str:
        """The command that prints the same answer."""
        words = ["jaxscale", "plan"]
        for name, text in self.texts.items():
            if name == "law" and "accuracy" in self.texts:
                continue  # an accuracy has its own
            if name.startswith(LEVER):
                words += ["--lever", f"{name.removeprefix(LEVER)}={text}"]
            else:
                words += [option_of(name), text]
        return shlex.join(words)

    def with_texts(self, changes: Mapping[str, str]) -> "Question":
        """The question with these texts instead; an empty one is taken out."""
        return Question({**self.texts, **changes})


def is_field(name: str) -> bool:
    """Whether a question may have a text of this name."""
    lever = name.removeprefix(LEVER)
    return name in FIELDS or (lever != name and lever.isidentifier() and len(lever) < 40)


def _order(pair: tuple[str, str]) -> tuple[int, str]:
    """Fields in the order of the page, then levers."""
    names = list(FIELDS)
    return (names.index(pair[0]) if pair[0] in FIELDS else len(names)), pair[0]


# What the page opens with: a law whose uncertainty is published, and prices of the day.
FIRST = Question(
    {
        "law": "besiroglu2024",
        "like_params": "70B",
        "input_tokens": "10T",
        "output_tokens": "2T",
        "train_on": "H100-SXM",
        "train_price": "2",
        "serve_on": "H100-SXM",
        "serve_price": "2",
    }
)
