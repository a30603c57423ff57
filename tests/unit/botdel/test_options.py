"""Values from the command line: an error names the option or the argument that is wrong."""

import pytest

from botdel.options import event_id, ids_or_filters, object_id
from deletion.errors import ConfigurationError


def test_an_id_is_lower_case_however_it_was_typed() -> None:
    assert object_id("65F0A1B2C3D4E5F607182930", "--bot") == "65f0a1b2c3d4e5f607182930"


def test_an_invalid_id_is_refused_by_the_name_of_its_option_or_argument() -> None:
    with pytest.raises(ConfigurationError, match=r"^--bot: expected 24 hex digits, found 'x'$"):
        object_id("x", "--bot")
    with pytest.raises(ConfigurationError, match=r"^EVENT_ID: expected a UUID, found 'x'$"):
        event_id("x")
    with pytest.raises(ConfigurationError, match=r"^ID: expected 24 hex digits, found 'x'$"):
        ids_or_filters(["x"], {}, None, everything=False)
