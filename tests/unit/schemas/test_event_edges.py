"""Values that Python itself refuses to handle are refused in the words of their field."""

from __future__ import annotations

import pytest
from jobstatus_schemas.event import check_job_id


@pytest.mark.parametrize("job_id", [10**5000, -(10**5000)], ids=["above", "below"])
def test_a_job_id_of_thousands_of_digits_is_told_what_is_allowed(job_id: int) -> None:
    with pytest.raises(ValueError, match=r"^job_id: too many digits; wanted 1 to 512 bytes of UTF-8$"):
        check_job_id(job_id)
