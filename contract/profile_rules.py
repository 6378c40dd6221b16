"""The profiler's rules: AWS's names, parameters, defaults and their order in the report.

The defaults are those of reports that AWS shipped, where its documentation says otherwise.
Source: smdebug 1.0.34's profiler rules.
"""

from contract.rule_kind import RuleKind
from contract.rule_parameter import RuleParameter

SCAN_INTERVAL_US = 60_000_000  # AWS looks at one window of a minute after the other


def _whole(name: str, default: int | None, help: str, high: float | None = None) -> RuleParameter:
    return RuleParameter(name=name, type=int, default=default, help=help, minimum=0, maximum=high)


def _number(name: str, default: float, help: str) -> RuleParameter:
    return RuleParameter(name=name, type=float, default=default, help=help, minimum=0)


def _percent(name: str, default: int, help: str) -> RuleParameter:
    return _whole(name, default, help, 100)


_PATIENCE = _whole("patience", 1000, "values to have seen before the rule may fire")
_SCAN = _whole("scan_interval_us", SCAN_INTERVAL_US, "length of a window, in microseconds")


def _kind(name: str, help: str, *parameters: RuleParameter, hidden: int = 0) -> RuleKind:
    """`hidden`: the last parameters that AWS's reports do not name."""
    names = tuple(one.name for one in parameters)
    return RuleKind(
        name=name,
        scope="profile",
        help=help,
        parameters=(*parameters, _SCAN),
        reported=names[: len(names) - hidden],
    )


CPU_BOTTLENECK = _kind(
    "CPUBottleneck",
    "a GPU idles while a CPU core is busy, in too many of the samples",
    _percent("threshold", 50, "percent of the samples"),
    _percent("cpu_threshold", 90, "above it a core is busy, percent"),
    _percent("gpu_threshold", 10, "below it a GPU idles, percent"),
    _PATIENCE,
)
IO_BOTTLENECK = _kind(
    "IOBottleneck",
    "a GPU idles while a CPU core waits for I/O, in too many of the samples",
    _percent("threshold", 50, "percent of the samples"),
    _percent("io_threshold", 50, "above it a core waits, percent"),
    _percent("gpu_threshold", 10, "below it a GPU idles, percent"),
    _PATIENCE,
)
LOW_GPU_UTILIZATION = _kind(
    "LowGPUUtilization",
    "a GPU is hardly used, or its use fluctuates",
    _percent("threshold_p95", 70, "below it the 95th percentile is low"),
    _percent("threshold_p5", 10, "below it the 5th percentile is low"),
    _whole("window", 500, "values that are looked at"),
    _PATIENCE,
)
STEP_OUTLIER = _kind(
    "StepOutlier",
    "steps take much longer than most",
    _number("threshold", 3, "of no effect; in AWS's list of parameters"),
    RuleParameter(name="mode", type=str, default=None, help="a phase; without it all steps"),
    _whole("n_outliers", 10, "outliers to tolerate"),
    _number("stddev", 3, "standard deviations from the mean"),
)
GPU_MEMORY_INCREASE = _kind(
    "GPUMemoryIncrease",
    "the use of a GPU's memory grows",
    _number("increase", 5, "percentage points from one window to the next"),
    _PATIENCE,
    _whole("window", 10, "values of a window"),
)
BATCH_SIZE = _kind(
    "BatchSize",
    "CPU, GPU and GPU memory are all little used: the batch is too small",
    _percent("cpu_threshold_p95", 70, "below it the CPU is little used"),
    _percent("gpu_threshold_p95", 70, "below it the GPU is little used"),
    _percent("gpu_memory_threshold_p95", 70, "below it the GPU's memory is little used"),
    _PATIENCE,
    _whole("window", 500, "values that are looked at"),
)
MAX_INITIALIZATION_TIME = _kind(
    "MaxInitializationTime",
    "the first step comes late",
    _number("threshold", 20, "minutes"),
)
LOAD_BALANCING = _kind(
    "LoadBalancing",
    "the GPUs of a host are used unevenly",
    _number("threshold", 0.2, "distance of their histograms, from 0 to 0.83"),
    _PATIENCE,
)
DATALOADER = _kind(
    "Dataloader",
    "too few or too many processes load pictures for the cores there are",
    _whole("min_threshold", 70, "below it too few, percent of the cores"),
    _whole("max_threshold", 200, "above it too many, percent of the cores"),
    _whole("patience", 10, "seconds with loading to have seen"),
    hidden=1,
)
OVERALL_SYSTEM_USAGE = _kind("OverallSystemUsage", "never: statistics of each host's use")
OVERALL_FRAMEWORK_METRICS = _kind("OverallFrameworkMetrics", "never: where the time went")

# In the order in which AWS runs them.
SINGLE_PROFILE_RULES = (
    CPU_BOTTLENECK, IO_BOTTLENECK, LOW_GPU_UTILIZATION, STEP_OUTLIER, GPU_MEMORY_INCREASE,
    BATCH_SIZE, MAX_INITIALIZATION_TIME, LOAD_BALANCING, OVERALL_SYSTEM_USAGE, DATALOADER,
    OVERALL_FRAMEWORK_METRICS,
)  # fmt: skip

# All of them; a parameter of one is written <Rule>_<parameter>.
PROFILER_REPORT = RuleKind(
    name="ProfilerReport",
    scope="profile",
    help="any of the profiler's rules fires; writes the report",
    parameters=(
        *(
            RuleParameter(
                name=f"{rule.name}_{one.name}", type=one.type, default=one.default, help=one.help,
                minimum=one.minimum, maximum=one.maximum, choices=one.choices,
            )
            for rule in SINGLE_PROFILE_RULES
            for one in rule.parameters
            if one.name != "scan_interval_us"
        ),
        _SCAN,
        RuleParameter(
            name="opt_out_telemetry", type=bool, default=True,
            help="of no effect: our report sends nothing",
        ),
        RuleParameter(
            name="aws_compat", type=bool, default=False,
            help="ours: AWS's numbers, with the defects of AWS's arithmetic",
        ),
    ),
)  # fmt: skip
PROFILE_RULES = (*SINGLE_PROFILE_RULES, PROFILER_REPORT)
