"""Pictures and keypoints: what the stages do to them between the models."""
