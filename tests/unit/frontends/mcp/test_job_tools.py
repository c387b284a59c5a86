"""Jobs over MCP: what is wrong with a request is said before any node is asked."""

import pytest

from tests.unit.frontends.mcp.conftest import Agent


@pytest.mark.parametrize("job_id", ["a", ".", "a.", ".a1", "a./", "a.a1/../b1", "a.*", "a.A1", "a.a1\n"])
async def test_an_id_that_no_job_can_have_is_refused(agent: Agent, job_id: str) -> None:
    for tool in ("job_output", "job_stop"):
        error = (await agent.call(tool, cluster_name="lab", job_id=job_id))["error"]
        assert (error["code"], "job_status" in error["message"]) == ("INVALID_ARGUMENT", True)
