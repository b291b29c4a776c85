from .boxes import BoxIou as BoxIou
from .clip import EMPTY as EMPTY
from .clip import ClipScore as ClipScore
from .clip import ContrastiveGoal as ContrastiveGoal
from .clip import GoalBaseline as GoalBaseline
from .clip import RefClipScore as RefClipScore
from .pictures import PictureReward as PictureReward
