"""GSTalker that rests after each step for as long as ``$PAUSE_S`` says, so that there is time to
interrupt it. What it learns does not depend on that.
"""

import os
import time

import lightning as L

from gstalker.methods.gstalker import GSTalker


class Pause(L.Callback):
    def __init__(self):
        self.seconds = float(os.environ.get("PAUSE_S", "0"))

    def on_train_batch_end(self, *args):
        time.sleep(self.seconds)


class PausedHead(GSTalker):
    def stages(self):
        plans = list(super().stages())
        for plan in plans:
            plan.callbacks.append(Pause())
        return plans
