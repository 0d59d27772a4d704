"""What schemathesis must not count: an empty list in a form, which no form can hold, so that nothing wrong is sent."""

from __future__ import annotations

import schemathesis


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    is_form = case.media_type == "multipart/form-data"
    return not (is_form and isinstance(case.body, dict) and [] in case.body.values())
