"""The looks of the page: its colours in light and dark, and the styles of its texts and tables."""

from typing import Any

BLUE, LIGHT_BLUE = "#005a8c", "#7cc4f4"  # white on the first and the second on black keep AA

# Labels stand above their fields, so that what holds by default can be read in them.
_COMPONENTS: dict[str, Any] = {
    "MuiInputLabel": {
        "defaultProps": {"shrink": True},
        "styleOverrides": {"root": {"fontSize": "1rem"}},
    },
    # Of groups of buttons: as large as the shrunken labels of fields.
    "MuiFormLabel": {"styleOverrides": {"root": {"fontSize": "0.75rem"}}},
    "MuiOutlinedInput": {"defaultProps": {"notched": True}},
    "MuiAlert": {
        "defaultProps": {"role": "status"},  # is read out when there is time
        "styleOverrides": {"message": {"& p": {"margin": 0}}},
    },
    "MuiAlertTitle": {"styleOverrides": {"root": {"display": "none"}}},
    "MuiFormHelperText": {"styleOverrides": {"root": {"marginTop": "2px"}}},
    "MuiAccordionSummary": {"styleOverrides": {"root": {"minHeight": "40px", "padding": "0 8px"}}},
    # What the library leaves without a name, or calls a heading that is none.
    "MuiAccordion": {
        "defaultProps": {
            "slotProps": {"heading": {"component": "h2"}, "region": {"role": "presentation"}}
        }
    },
    "MuiTypography": {"defaultProps": {"variantMapping": {"h5": "div", "h6": "div"}}},
    "MuiLinearProgress": {
        "defaultProps": {"aria-label": "Computing"},
        "styleOverrides": {"determinate": {"visibility": "hidden"}},  # while it stands still
    },
    "MuiButtonBase": {
        "styleOverrides": {
            "root": {"&.Mui-focusVisible": {"outline": "2px solid", "outlineOffset": "-2px"}}
        }
    },
}
THEME: dict[str, Any] = {
    "light": {
        "palette": {
            "primary": {"main": BLUE},
            "background": {"default": "#ffffff", "paper": "#ffffff"},
        },
        "components": _COMPONENTS,
    },
    "dark": {
        "palette": {"primary": {"main": LIGHT_BLUE}},
        "components": {
            **_COMPONENTS,
            "MuiAppBar": {
                "styleOverrides": {"root": {"backgroundColor": "#0b2c42", "color": "#ffffff"}}
            },
        },
    },
}

# Of texts and tables; the colours follow the theme.
STYLES = """
:host { font-family: Roboto, Helvetica, Arial, sans-serif; font-size: 14px; line-height: 1.45;
  color: var(--mui-palette-text-primary, inherit); }
h1 { font-size: 20px; margin: 0; font-weight: 500; color: white; }
h2 { font-size: 17px; margin: 12px 0 4px; font-weight: 500; }
h3 { font-size: 15px; margin: 8px 0 2px; font-weight: 500; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 4px 0; }
dd { margin: 0; }
dt::first-letter { text-transform: uppercase; }
p { margin: 4px 0; max-width: 75ch; }
.aside { font-size: 13px; opacity: 0.85; overflow-wrap: anywhere; }
.aside p { margin: 2px 0; }
.scroll { overflow-x: auto; }
table.plans { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%;
  max-width: 760px; }
table.plans caption { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); }
table.plans th, table.plans td { padding: 4px 8px; text-align: right; font-weight: 400;
  border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); white-space: nowrap; }
table.plans th[scope=row] { text-align: left; padding-left: 0; }
table.plans thead th { opacity: 0.8; font-size: 13px; }
table.plans tr.total th, table.plans tr.total td { font-weight: 700; }
table.plans td:nth-child(2) { font-weight: 500; }
pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 13px; margin: 0;
  white-space: pre-wrap; overflow-wrap: anywhere; padding: 8px 10px; border-radius: 4px;
  background: color-mix(in srgb, currentColor 7%, transparent); }
summary { cursor: pointer; }
@media (max-width: 600px) {
  table.plans { font-size: 13px; }
  table.plans th, table.plans td { padding: 4px; }
  table.plans td, table.plans th[scope=row] { white-space: normal; }
}
"""
