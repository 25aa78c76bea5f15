"""Results to matplotlib figures; nothing is shown or saved here."""

from hessium.plots.axes import plot as plot
from hessium.plots.draw import draw as draw
from hessium.plots.notebook import html_of as html_of
from hessium.plots.standalone import to_pdf as to_pdf
from hessium.plots.standalone import to_png as to_png
from hessium.plots.style import PALETTE as PALETTE
from hessium.plots.svg import describe as describe
from hessium.plots.svg import empty_svg as empty_svg
from hessium.plots.svg import to_svg as to_svg
