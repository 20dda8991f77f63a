"""The independent checker: reads the instance and a placement, and nothing of the formulation.

One module here for each module of goals, of the same name.
"""

from optalloc.verify.checker import verify
from optalloc.verify.report import Report, Violation

__all__ = ["Report", "Violation", "verify"]
