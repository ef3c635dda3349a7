"""A page that answers a question at once, with its sources, intervals and what matters."""

from jaxscale.exploring.answering import Answer as Answer
from jaxscale.exploring.answering import answer as answer
from jaxscale.exploring.python_text import as_python as as_python
from jaxscale.exploring.question import FIRST as FIRST
from jaxscale.exploring.question import Question as Question
from jaxscale.exploring.reading import Asked as Asked
from jaxscale.exploring.reading import Mistakes as Mistakes
from jaxscale.exploring.reading import read as read
