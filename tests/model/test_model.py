"""The rules of the code hold in every interleaving within the bounds; without one they do not.

On a failure the shortest counterexample is printed, a step a line.
"""

import pytest

from tests.model.bounds import SCOPES
from tests.model.explore import explore


@pytest.mark.proves("every-order", "saga-ends")
@pytest.mark.parametrize("scope", SCOPES)
def test_every_invariant_holds(scope: str) -> None:
    explored = explore(SCOPES[scope])
    assert not explored.broken, str(explored)
