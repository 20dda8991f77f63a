"""What must hold in an instance beyond types: one module a section, each listing every problem.

A check looks at whole columns first and builds paths and messages only where something is wrong,
so that a valid instance of 100,000 tasks is checked in a fraction of a second.
"""
