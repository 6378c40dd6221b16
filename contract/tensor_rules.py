"""The built-in rules over saved tensors: AWS's names, parameters and defaults, in one table.

Source: smdebug 1.0.34's rules; SageMaker developer guide, debugger-built-in-rules.
"""

from contract.rule_kind import RuleKind
from contract.rule_parameter import RuleParameter


def _text(name: str, default: str | None, help: str) -> RuleParameter:
    return RuleParameter(name=name, type=str, default=default, help=help)


def _number(
    name: str, default: float | None, help: str, low: float | None = None, high: float | None = None
) -> RuleParameter:
    return RuleParameter(
        name=name, type=float, default=default, help=help, minimum=low, maximum=high
    )


def _count(name: str, default: int | None, help: str, low: int = 0) -> RuleParameter:
    return RuleParameter(name=name, type=int, default=default, help=help, minimum=low)


def _flag(name: str, default: bool, help: str) -> RuleParameter:
    return RuleParameter(name=name, type=bool, default=default, help=help)


# Together they select tensors: the union of both.
_SELECT = (
    _text("collection_names", None, "collections to look at, separated by commas"),
    _text("tensor_regex", None, "regular expressions of tensor names, separated by commas"),
)
_INACTIVITY = (
    _number("threshold_inactivity", 1.0, "percent of observations", 0, 100),
    _number("threshold_layer", 50.0, "percent of a layer's units that fires the rule", 0, 100),
)

VANISHING_GRADIENT = RuleKind(
    name="VanishingGradient",
    scope="tensors",
    help="the mean of a gradient's absolute values is below a threshold",
    collections=("gradients",),
    parameters=(_number("threshold", 1e-7, "least mean absolute value", 0),),
)
EXPLODING_TENSOR = RuleKind(
    name="ExplodingTensor",
    scope="tensors",
    help="a tensor holds NaN or infinite values",
    parameters=(*_SELECT, _flag("only_nan", False, "infinite values are fine")),
)
POOR_WEIGHT_INITIALIZATION = RuleKind(
    name="PoorWeightInitialization",
    scope="tensors",
    help="in the first steps: layers' inputs differ widely in variance, gradients hardly spread, "
    "or the loss does not fall",
    collections=("relu_input", "gradients", "losses"),
    parameters=(
        _text("activation_inputs_regex", ".*relu_input", "names of the layers' inputs"),
        _number("threshold", 10.0, "largest ratio of the layers' variances", 0),
        _number("distribution_range", 0.001, "least p95 - p5 of a gradient", 0),
        _count("patience", 5, "steps without a lower loss", 1),
        _count("steps", 10, "steps that are looked at, from the first on", 1),
    ),
)
SATURATED_ACTIVATION = RuleKind(
    name="SaturatedActivation",
    scope="tensors",
    help="most nodes of a tanh or sigmoid layer lie where its slope is nearly 0",
    parameters=(
        _text("collection_names", None, "collections to look at, separated by commas"),
        _text("tensor_regex", ".*tanh_input|.*sigmoid_input", "names of the layers' inputs"),
        _number("threshold_tanh_min", -9.4999, "below it tanh is saturated"),
        _number("threshold_tanh_max", 9.4999, "above it tanh is saturated"),
        _number("threshold_sigmoid_min", -23.0, "below it the sigmoid is saturated"),
        _number("threshold_sigmoid_max", 16.99999, "above it the sigmoid is saturated"),
        *_INACTIVITY,
    ),
)
DEAD_RELU = RuleKind(
    name="DeadRelu",
    scope="tensors",
    help="most units of a ReLU layer answer 0 to nearly everything",
    collections=("relu_output",),
    parameters=(_text("tensor_regex", ".*relu_output", "names of the outputs"), *_INACTIVITY),
)
WEIGHT_UPDATE_RATIO = RuleKind(
    name="WeightUpdateRatio",
    scope="tensors",
    help="between two saved steps a weight changes by too much or too little of its size",
    collections=("weights",),
    parameters=(
        _count("num_steps", None, "the earlier step is at most so many steps before", 1),
        _number("large_threshold", 10.0, "largest ratio", 0),
        _number("small_threshold", 1e-8, "least ratio", 0),
        _number("epsilon", 1e-9, "added to the weight's size", 0),
    ),
)
UNCHANGED_TENSOR = RuleKind(
    name="UnchangedTensor",
    scope="tensors",
    help="a tensor is the same over some saved steps",
    parameters=(
        *_SELECT,
        _count("num_steps", 3, "saved steps that are compared", 2),
        _number("rtol", 1e-5, "relative tolerance, of numpy.allclose", 0),
        _number("atol", 1e-8, "absolute tolerance, of numpy.allclose", 0),
        _flag("equal_nan", False, "NaN equals NaN"),
    ),
)
LOSS_NOT_DECREASING = RuleKind(
    name="LossNotDecreasing",
    scope="tensors",
    help="over some steps the loss does not fall by enough percent",
    collections=("losses",),
    parameters=(
        *_SELECT,
        _flag("use_losses_collection", True, "look at the collection `losses`, too"),
        _count("num_steps", 10, "steps between a loss and the one that it is compared with;"
               " without it a shorter job's last loss is compared with its first", 1),
        _number("diff_percent", 0.1, "percent by which it has to fall", 0),
        _number("increase_threshold_percent", 5.0, "percent by which it may rise at most", 0),
        RuleParameter(
            name="mode", type=str, default=None, choices=("EVAL", "TRAIN", "GLOBAL"),
            help="steps of this mode; without it the first of EVAL, TRAIN, GLOBAL with data",
        ),
    ),
)  # fmt: skip
OVERFIT = RuleKind(
    name="Overfit",
    scope="tensors",
    help="the validation loss is above the training loss by more than a share of it",
    collections=("losses",),
    parameters=(
        _text("tensor_regex", None, "names of the losses; without it the collection `losses`"),
        _count("start_step", 0, "steps before it are not looked at"),
        _count("patience", 1, "evaluations for which it may be so", 1),
        _number("ratio_threshold", 0.1, "(validation - training) / training"),
    ),
)
OVERTRAINING = RuleKind(
    name="Overtraining",
    scope="tensors",
    help="the validation loss has not improved for some evaluations",
    collections=("losses",),
    parameters=(
        _count("patience_train", 5, "steps without a better training loss: converged", 1),
        _count("patience_validation", 10, "evaluations without a better validation loss", 1),
        _number("delta", 0.01, "by which a loss must beat the best one", 0),
    ),
)
ALL_ZERO = RuleKind(
    name="AllZero",
    scope="tensors",
    help="a tensor's share of zeros reaches a threshold",
    parameters=(*_SELECT, _number("threshold", 100.0, "percent of zeros", 0, 100)),
)
TENSOR_VARIANCE = RuleKind(
    name="TensorVariance",
    scope="tensors",
    help="a tensor's variance is out of bounds",
    parameters=(
        *_SELECT,
        _number("max_threshold", None, "largest variance; without it there is no bound", 0),
        _number("min_threshold", None, "least variance; without it there is no bound", 0),
    ),
)
CLASS_IMBALANCE = RuleKind(
    name="ClassImbalance",
    scope="tensors",
    help="classes differ widely in number, or one of them is mostly mispredicted",
    parameters=(
        _number("threshold_imbalance", 10.0, "largest class over smallest class", 0),
        _number("threshold_misprediction", 0.7, "share of a class that is wrong", 0, 1),
        _count("samples", 500, "labels to have seen before judging", 1),
        _flag("argmax", False, "predictions are scores a class: take the largest"),
        _text("labels_regex", ".*labels", "names of the labels"),
        _text("predictions_regex", ".*predictions", "names of the predictions"),
    ),
)
CONFUSION = RuleKind(
    name="Confusion",
    scope="tensors",
    help="rows of the confusion matrix stray from the diagonal",
    parameters=(
        _count("category_no", None, "number of classes; without it, what is seen", 1),
        _text("labels", "labels", "name of the labels"),
        _text("predictions", "predictions", "name of the predictions"),
        _text("labels_collection", "labels", "collection of the labels"),
        _text("predictions_collection", "predictions", "collection of the predictions"),
        _number("min_diag", 0.9, "least share of a class that is right", 0, 1),
        _number("max_off_diag", 0.1, "largest share of a class that is taken for another", 0, 1),
    ),
)
STALLED_TRAINING = RuleKind(
    name="StalledTrainingRule",
    scope="tensors",
    help="no new step has come for some time",
    collections=("losses",),
    parameters=(
        _number("threshold", 1800.0, "seconds", 0),
        _flag("stop_training_on_fire", False, "stop the job then"),
        _text("training_job_name_prefix", None, "of the job to stop, in AWS"),
    ),
)
CHECK_INPUT_IMAGES = RuleKind(
    name="CheckInputImages",
    scope="tensors",
    help="the pictures' colour channels are not centred on 0",
    parameters=(
        _number("threshold_mean", 0.2, "largest absolute mean of a colour channel", 0),
        _count("threshold_samples", 500, "pictures to have seen before judging", 1),
        _text("regex", ".*hybridsequential0_input_0", "names of the pictures"),
        _count("channel", 1, "which axis is the colour channel"),
    ),
)
SIMILAR_ACROSS_RUNS = RuleKind(
    name="SimilarAcrossRuns",
    scope="tensors",
    help="at the same step, a tensor differs from that of another run",
    parameters=(_text("other_trials", None, "folder or S3 prefix of the other run"), *_SELECT),
)

TENSOR_RULES = (
    VANISHING_GRADIENT, EXPLODING_TENSOR, POOR_WEIGHT_INITIALIZATION, SATURATED_ACTIVATION,
    DEAD_RELU, WEIGHT_UPDATE_RATIO, UNCHANGED_TENSOR, LOSS_NOT_DECREASING, OVERFIT, OVERTRAINING,
    ALL_ZERO, TENSOR_VARIANCE, CLASS_IMBALANCE, CONFUSION, STALLED_TRAINING, CHECK_INPUT_IMAGES,
    SIMILAR_ACROSS_RUNS,
)  # fmt: skip

# AWS has them, but they have no meaning for pictures.
NOT_FOR_PICTURES = {
    "NLPSequenceRatio": "for text",
    "TreeDepth": "for XGBoost's trees",
    "FeatureImportanceOverweight": "for XGBoost's trees",
    "CreateXgboostReport": "for XGBoost's trees",
}
