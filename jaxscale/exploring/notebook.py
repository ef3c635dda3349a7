"""`js.explore`: the page in a cell of a notebook."""

import builtins
import importlib.util
from typing import TYPE_CHECKING, Any

from jaxscale.exploring.opening import opened_with

if TYPE_CHECKING:
    from jaxscale.exploring.page import Explorer


def explore(law: Any = None, **texts: Any) -> "Explorer":
    """A page that answers at once, in a cell of a notebook: the best plan and what it rests on.

    `law` is the name of a published law, an `Entry`, or the file of a fit. The other arguments are
    options of `jaxscale plan` with their values, as in `like_params="70B"`; without any the page
    opens with an example. `jaxscale explore` serves the same to a browser.

    All that the page needs is put into the cell's output, 36 MB, so that it works offline. After
    `panel.extension()` it is 0.4 MB, and the rest comes from the network.

    Raises ImportError without Panel, ValueError for what is no option, and as `js.laws.entry` for
    a file.

    Examples:
        >>> page = js.explore("besiroglu2024", like_params="70B", inference_tokens="10T")
        >>> page.question.command()
        'jaxscale plan --law besiroglu2024 --like-params 70B --inference-tokens 10T'
    """
    if importlib.util.find_spec("panel_material_ui") is None:
        raise ImportError("js.explore needs: pip install 'jaxscale[explore]'")
    from jaxscale.exploring.page import Explorer

    page = Explorer(*opened_with(law, **texts))
    _load_scripts()
    return page


def _load_scripts() -> None:
    """Bring what Panel needs in a browser into the notebook, once; nothing from other hosts."""
    import panel

    if hasattr(builtins, "__IPYTHON__") and not panel.extension._loaded:
        panel.extension(inline=True)
