"""Find the cellar: a tiny random Llama learns a text game with TRL and GraphGPO on a CPU."""

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig

from graphgpo.integrations.trl import GraphGPOTrainer, StepRecorder

# The game: nine rooms, three by three. What the policy reads and writes are single words.
ROOMS = ["attic", "bedroom", "study", "hall", "kitchen", "pantry", "porch", "garden", "cellar"]
MOVES = {"north": (0, -1), "south": (0, 1), "west": (-1, 0), "east": (1, 0)}
GOAL, MAX_STEPS = "cellar", 10


def walk(room: str, word: str) -> str:
    dx, dy = MOVES.get(word, (0, 0))  # any other word: stay
    x, y = ROOMS.index(room) % 3 + dx, ROOMS.index(room) // 3 + dy
    return ROOMS[3 * y + x] if 0 <= x < 3 and 0 <= y < 3 else room


# A tokenizer and a model from nothing, so that this runs anywhere. Use yours instead.
words = ["<pad>", "<eos>", *ROOMS, *MOVES]
backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}))
backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")
torch.manual_seed(0)
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
    )
)


def play(prompts: list[str], trainer: GraphGPOTrainer) -> dict[str, list | None]:
    """One rollout for each prompt, a room to start in: room, word, room, word, ..."""
    policy = trainer.accelerator.unwrap_model(trainer.model)
    rooms = list(prompts)
    texts = [[room] for room in rooms]
    recorders = [StepRecorder() for _ in rooms]
    for turn in range(MAX_STEPS):
        playing = [row for row, room in enumerate(rooms) if room != GOAL]
        if not playing:
            break
        ids = torch.tensor([tokenizer.convert_tokens_to_ids(texts[row]) for row in playing])
        with torch.no_grad():
            logits = policy(ids.to(policy.device)).logits[:, -1]
        written = torch.distributions.Categorical(logits=logits).sample().tolist()
        for row, word in zip(playing, tokenizer.convert_ids_to_tokens(written), strict=True):
            # The state before the step, and which tokens of the completion the step wrote.
            recorders[row].add(rooms[row], start=2 * turn, stop=2 * turn + 1)
            rooms[row] = walk(rooms[row], word)
            texts[row] += [word, rooms[row]]
    ids = [tokenizer.convert_tokens_to_ids(text) for text in texts]
    return {
        "prompt_ids": [row[:1] for row in ids],
        "completion_ids": [row[1:] for row in ids],
        "env_mask": [[1, 0] * len(recorder) for recorder in recorders],  # 0: the game's words
        "logprobs": None,
        "graphgpo": [
            recorder.rollout_fields(success=room == GOAL, final_state=room)["graphgpo"]
            for recorder, room in zip(recorders, rooms, strict=True)
        ],
    }


def reached(graphgpo: list[dict], **_) -> list[float]:
    return [float(rollout["success"]) for rollout in graphgpo]


trainer = GraphGPOTrainer(
    model=model,
    processing_class=tokenizer,
    rollout_func=play,
    reward_funcs=reached,
    train_dataset=Dataset.from_dict({"prompt": [room for room in ROOMS if room != GOAL]}),
    estimator={"omega": 0.5},
    args=GRPOConfig(
        output_dir="trl_house",
        num_generations=16,
        per_device_train_batch_size=64,
        max_steps=15,
        learning_rate=3e-3,
        logging_steps=3,
        save_strategy="no",
        report_to="none",
        use_cpu=True,  # this line and the next: on a CPU
        bf16=False,
    ),
)
trainer.train()
