"""Settings of the process, and the memory that may be used."""

import numpy as np
import pytest
import torch

import skoverparam
from skoverparam._config import memory_budget, require_memory, resolve_device

CPU = torch.device("cpu")


def test_settings_change_for_a_while_and_come_back_after_an_error():
    before = skoverparam.get_config()

    def fail_inside():
        with skoverparam.config_context(device="cpu", memory_budget=1e6):
            assert skoverparam.get_config() == {"device": "cpu", "memory_budget": 1_000_000}
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    assert skoverparam.get_config() == before


def test_a_returned_configuration_is_a_copy():
    skoverparam.get_config()["device"] = "nonsense"
    assert skoverparam.get_config()["device"] != "nonsense"


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ({"memory_budget": -1}, ValueError, "memory_budget must be positive, got -1"),
        ({"memory_budget": "much"}, TypeError, "memory_budget must be a number of bytes"),
        ({"memory_budget": True}, TypeError, "memory_budget must be a number of bytes"),
        ({"device": "tpu"}, ValueError, "device must be 'auto', 'cpu', 'cuda'.*'tpu'"),
        ({"device": 3}, TypeError, "device must be 'auto'.*of type int"),
        ({"device": "cuda:99"}, ValueError, "torch sees . CUDA devices here"),
    ],
)
def test_bad_settings_are_refused_and_change_nothing(setting, error, message):
    before = skoverparam.get_config()
    with pytest.raises(error, match=message):
        skoverparam.set_config(**setting)
    assert skoverparam.get_config() == before


def test_a_devices_name_wins_over_the_configuration():
    with skoverparam.config_context(device="cpu"):
        assert resolve_device("auto") == CPU
        assert resolve_device(None) == CPU
    assert resolve_device("cpu") == CPU


def test_what_is_no_device_is_refused_by_name():
    with pytest.raises(TypeError, match="device must be 'auto', 'cpu', 'cuda' or 'cuda:<n>'"):
        resolve_device(np.ones((2, 2)))


def test_the_budget_is_a_share_of_what_is_free_unless_set():
    assert memory_budget(CPU) > 2**20
    with skoverparam.config_context(memory_budget=1000):
        assert memory_budget(CPU) == 1000
        with skoverparam.config_context(memory_budget="auto"):
            assert memory_budget(CPU) > 2**20


def test_memory_is_refused_with_estimate_budget_and_remedy():
    with skoverparam.config_context(memory_budget=2**30):
        require_memory(2**30, CPU, what="this", remedy="none")
        with pytest.raises(MemoryError, match=r"Work needs about 2 GiB.* is 1 GiB\. Use less"):
            require_memory(2**31, CPU, what="Work", remedy="Use less.")
