"""Training: recipes that share one loop, and run folders that can be stopped, resumed and exported.

>>> from telephonegan import training
>>> training.train("damsm", data="flickr8k", run="runs/damsm", settings={"steps": 900})  # doctest: +SKIP
True
>>> training.export("runs/damsm", name="mine").entry.kind  # doctest: +SKIP
'damsm'
"""

from telephonegan.training.exporting import Exported, export
from telephonegan.training.launch import resume, train, train_all
from telephonegan.training.world import train_world

__all__ = ["Exported", "export", "resume", "train", "train_all", "train_world"]
