"""A language model's server whose certificate is not trusted is told with the reason and the way out, at once."""

import asyncio
import shutil

import pytest
from contexts import make_context

from certificates import Certificates
from payment_simulator.experiments.config import Llm
from payment_simulator.experiments.proposers.llm import LlmProposer
from payment_simulator.experiments.proposers.protocol import EndpointError
from standins.scripted_server import DONE, ScriptedServer


def refusal(url: str, retries: int) -> str:
    one = LlmProposer(Llm(model="openai:stand-in", base_url=url, timeout_seconds=5.0, max_retries=retries))
    with pytest.raises(EndpointError) as refused:
        asyncio.run(one.generate_policy(agent_id="A", prompt="?", current_policy={}, context=make_context()))
    return str(refused.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_models_server_with_a_certificate_of_its_own_is_trusted_by_ssl_cert_file_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-8f3a91c2e7")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    certificates = Certificates(tmp_path)
    with ScriptedServer({"it": lambda asked: [DONE]}, certificates.context("itself")) as server:
        told = refusal(server.url("it"), 5)
        assert "TLS fails: the server's certificate is signed by itself; to trust it, set SSL_CERT_FILE" in told
        assert "tries" not in told  # none changes that
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.path("itself")))
        assert "TLS" not in refusal(server.url("it"), 0)
