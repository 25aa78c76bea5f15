"""Figures as data: numbers with their errors, tables, charts, and findings in words."""

from hessium.figures.fields import Field as Field
from hessium.figures.records import Chart as Chart
from hessium.figures.records import Findings as Findings
from hessium.figures.records import Number as Number
from hessium.figures.records import Section as Section
from hessium.figures.records import Series as Series
from hessium.figures.records import Statement as Statement
from hessium.figures.records import Table as Table
