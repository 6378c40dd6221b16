"""Files of a small job and a small study, as somebody in a course writes them."""

JOB = """
name = "tiny"
[hyperparameters]
{settings}
[channels]
{channels}
[debugger]
train_save_interval = 1
[rules.Overfit]
[rules.LossNotDecreasing]
num_steps = 3
[profiler]
"""
TUNING = """
name = "tiny-tuning"
job = "job.toml"
[hyperparameters]
epochs = 1
[tuning]
objective = "average test loss"
max_jobs = 2
[ranges]
lr = { min = 0.001, max = 0.1, scaling = "Logarithmic" }
batch-size = [8, 16]
"""
