"""Every way in which a database gets dirty that the lab can show: `CASES`, by name.

Each is made to happen by the real `lab.migrating` on a real PostgreSQL, so that its truth is real. To add one, put a
`mendable(…)` or `refused(…)` into the file of its topic; `lab/dirty_cases_bed.py` says what the words mean.
"""

from lab.dirty_cases_bed import Broken, Case, broken, happen, table_of
from lab.dirty_cases_directions import DIRECTIONS
from lab.dirty_cases_lost import LOST
from lab.dirty_cases_objects import OBJECTS
from lab.dirty_cases_partly import INVALID, PARTLY
from lab.dirty_cases_people import PEOPLE
from lab.dirty_cases_processes import PROCESSES
from lab.dirty_cases_rows import ROWS
from lab.dirty_cases_stopped import STOPPED

CASES: dict[str, Case] = table_of(
    [*STOPPED, *PARTLY, *LOST, *INVALID, *OBJECTS, *ROWS, *PROCESSES, *DIRECTIONS, *PEOPLE]
)

__all__ = ["CASES", "Broken", "Case", "broken", "happen"]
