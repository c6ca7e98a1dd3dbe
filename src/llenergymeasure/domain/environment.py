"""The environment of a measurement. Data only; what could not be seen is None, with the reason in `not_known`."""

from pydantic import Field

from labledger.schema_versions import Record


class GpuInfo(Record):
    """One GPU as the driver reports it."""

    index: int | None
    """The driver's number of it."""
    name: str | None = None
    """The model of the board."""
    uuid: str | None = None
    """The driver's identifier of this very board."""
    vram_mb: float | None = None
    """Memory in MB (10^6 bytes)."""
    sm_clock_mhz: int | None = None
    """Multiprocessors' clock in MHz at the one moment it was read, before the measurement."""
    memory_clock_mhz: int | None = None
    """Memory's clock in MHz at the one moment it was read, before the measurement."""
    power_limit_w: float | None = None
    """Power limit in force, in watts; one that the run has set, as it was read back."""
    locked_clock_mhz: int | None = None
    """Graphics clock in MHz that the run has locked it to, as it was read back; None where it has locked none."""
    ecc_enabled: bool | None = None
    """True if its memory corrects errors."""
    persistence_mode: bool | None = None
    """True if the driver keeps it ready when nothing uses it."""
    mig_enabled: bool | None = None
    """True if it is cut into MIG slices."""


class EnvironmentSnapshot(Record):
    """The machine, the tool and the model's origin at the time of a run."""

    tool_version: str | None = None
    """Version of labledger."""
    git_commit: str | None = None
    """Commit that labledger ran from, `-dirty` where files differ from it; None where it is in no repository."""
    python_version: str | None = None
    """Version of Python."""
    os: str | None = None
    """Operating system and kernel, as one text."""
    cpu_model: str | None = None
    """The processor's name, or its architecture."""
    cpu_physical_cores: int | None = None
    """Cores, without hyperthreads."""
    cpu_logical_cores: int | None = None
    """Cores as the system counts them, with hyperthreads."""
    cpu_governor: str | None = None
    """Frequency governor of the first core (Linux)."""
    ram_mb: float | None = None
    """Memory in MB (10^6 bytes)."""
    gpus: list[GpuInfo] = Field(default_factory=list)
    """Every NVIDIA GPU that the driver shows, used or not."""
    driver_version: str | None = None
    """Version of the NVIDIA driver."""
    cuda_version: str | None = None
    """Newest CUDA version that the driver supports."""
    container: str | None = None
    """docker, podman or kubernetes; None where none was noticed."""
    image_digest: str | None = None
    """Id of the container's image; podman alone reports it."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Version of each installed Python package, by name."""
    model_revision: str | None = None
    """Commit of a hub model in the local cache; None of a local folder or a random model."""
    model_weights_sha256: str | None = None
    """SHA-256 over names and contents of a local model's weight files; None where not read."""
    hostname: str | None = None
    """The machine's name, only where the user configuration has record_hostname: true."""
    not_known: dict[str, str] = Field(default_factory=dict)
    """Reason for each field that is None, by its name: `gpus[0].ecc_enabled` is one of the first GPU's."""
