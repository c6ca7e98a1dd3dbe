"""Where a measurement was made. Data only; what could not be seen is None, with the reason in `not_known`."""

from pydantic import Field

from labledger.schema_versions import Record


class GpuInfo(Record):
    """One GPU as the driver reports it."""

    index: int | None
    name: str | None = None
    uuid: str | None = None
    vram_mb: float | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    power_limit_w: float | None = None
    ecc_enabled: bool | None = None
    persistence_mode: bool | None = None
    mig_enabled: bool | None = None


class EnvironmentSnapshot(Record):
    """The machine, the tool and the model's origin at the time of a run."""

    tool_version: str | None = None
    git_commit: str | None = None
    python_version: str | None = None
    os: str | None = None
    cpu_model: str | None = None
    cpu_physical_cores: int | None = None
    cpu_logical_cores: int | None = None
    cpu_governor: str | None = None
    ram_mb: float | None = None
    gpus: list[GpuInfo] = Field(default_factory=list)
    driver_version: str | None = None
    cuda_version: str | None = None
    container: str | None = None
    image_digest: str | None = None
    packages: dict[str, str] = Field(default_factory=dict)
    model_revision: str | None = None
    model_weights_sha256: str | None = None
    hostname: str | None = None
    not_known: dict[str, str] = Field(default_factory=dict)
