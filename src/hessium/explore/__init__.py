"""The interactive page about the laws of Hessians: one HTML file, no network, no torch."""

from hessium.explore.page import write_page as write_page
