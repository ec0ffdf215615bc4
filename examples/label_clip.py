"""Label clips with nothing but transformers: `python examples/label_clip.py MODEL CLIP [CLIP ...]`.

MODEL is a checkpoint folder or a repository on the Hub, CLIP a video file or a folder of frames. This package need not
be installed, because the model's code is saved with its checkpoint. Prints one JSON object per clip.
"""

import json
import sys

from transformers import pipeline

model, *clips = sys.argv[1:]
classify = pipeline("video-classification", model=model, trust_remote_code=True)
for clip in clips:
    print(json.dumps({"clip": clip, "scores": classify(clip, top_k=None)}), flush=True)
