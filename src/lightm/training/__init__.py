"""A recipe in, a run folder out: `lightm.training.trainer.Trainer(config, folder).fit()`.

config                     the recipe, every key checked        task         what it is about: its data and split
recipes                    those that come with the package, by name
trainer                    the loop: epochs, validation, checkpoints
run_folder                 made, locked, read back             session      one start of it: processes, threads
optim, losses, metrics     what is minimised, how, and what is scored
execution, evaluation      how a network is run; the scores of its cases
checkpoint, logs, record   what a run leaves: weights, log and curves, everything measured
randomness, interrupts     the same bits after a kill; Ctrl-C
shrink                     any recipe in small: a test of a minute
"""
