"""The loss of an SFT step without the logits nobody asks for: those of the prompt."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from trl.trainer.sft_trainer import SFTTrainer

#: What models read: texts, and the pictures in them.
READ = ("input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_grid_thw")


class CompletionTrainer(SFTTrainer):
    """trl's SFTTrainer that projects to the vocabulary only where the loss looks.

    Same loss and gradient up to the order of summation. On a small model the projection of prompt tokens, and trl's
    entropy over them, is a quarter of a step.
    """

    _name = "SFT"
    schedule = 0
    """Steps that the learning rate is laid out for; 0 is the number of steps trained."""

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """A schedule that may be longer than the training: the model is stopped early."""
        return super().create_scheduler(self.schedule or num_training_steps, optimizer)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Tensor | int | None = None
    ) -> Any:
        """Mean negative log likelihood of the completions' tokens; falls back to trl's own where it must."""
        plain = self.accelerator.unwrap_model(model)
        shareable = (
            not return_outputs
            and self.accelerator.num_processes == 1
            and self.accelerator.mixed_precision == "no"
            and not hasattr(plain, "get_base_model")
            and plain.get_output_embeddings() is not None
        )
        if not shareable:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"][:, 1:]
        wanted = labels != -100
        read = {name: inputs[name] for name in READ if name in inputs}
        hidden = plain.base_model(**read, use_cache=False).last_hidden_state[:, :-1]
        logits = plain.get_output_embeddings()(hidden[wanted]).float()
        with torch.no_grad():
            metrics = self._metrics["train" if plain.training else "eval"]
            metrics["mean_token_accuracy"].append((logits.argmax(-1) == labels[wanted]).float().mean().item())
            self._total_train_tokens += int(inputs["attention_mask"].sum())
            metrics["num_tokens"] = [self._total_train_tokens]
        total = torch.nn.functional.cross_entropy(logits, labels[wanted], reduction="sum")
        return total / (wanted.sum() if num_items_in_batch is None else num_items_in_batch)
