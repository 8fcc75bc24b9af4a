"""A verl agent loop that plays TextWorld games and records the states GraphGPO needs.

One conversation is one rollout and one row of the batch: the game's text, a command, the game's
text, a command, ... Every command is a step.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import textworld
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopOutput

from graphgpo.integrations.verl import StepRecorder

SHOWN = textworld.EnvInfos(description=True, inventory=True, admissible_commands=True, won=True)


class TextWorldAgentLoop(AgentLoopBase):
    """Plays `extra_info["game"]` for at most `max_steps` commands."""

    def __init__(self, *args: Any, max_steps: int = 20, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max_steps = max_steps

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        game = textworld.start(kwargs["extra_info"]["game"], SHOWN)
        scene = game.reset()
        messages = [*kwargs["raw_prompt"], {"role": "user", "content": observation(scene)}]
        tokens = await self.ct_build_initial_tokens(messages)
        num_prompt_tokens = len(tokens)
        mask: list[int] = []  # of the response: 1 where the policy wrote
        log_probs: list[float] = []
        steps = StepRecorder()
        extra_fields: dict[str, Any] = {}
        request_id = uuid4().hex

        while len(steps) < self.max_steps and not scene.won:
            output = await self.server_manager.generate(
                request_id=request_id, prompt_ids=tokens, sampling_params=sampling_params
            )
            extra_fields.update(output.extra_fields)
            start = len(mask)
            merged, mask, new_log_probs = await self.ct_merge_assistant_token(
                tokens,
                output.token_ids,
                mask,
                log_probs if output.log_probs else None,
                assistant_logprobs=output.log_probs,
            )
            tokens, log_probs = merged.token_ids, new_log_probs or []
            steps.add(state(scene), start=start, stop=len(mask))
            reply = self.tokenizer.decode(output.token_ids, skip_special_tokens=True)
            scene, _, done = game.step(command(reply))
            if done or len(mask) >= self.rollout_config.response_length:
                break

            said = [
                *messages,
                {"role": "assistant", "content": reply},
                {"role": "user", "content": observation(scene)},
            ]
            merged, mask, new_log_probs = await self.ct_merge_context_msg(
                said[:-1], said, tokens, mask, log_probs or None
            )
            tokens, log_probs, messages = merged.token_ids, new_log_probs or [], said

        game.close()
        length = self.rollout_config.response_length
        return AgentLoopOutput(
            prompt_ids=tokens[: len(tokens) - len(mask)] if mask else tokens[:num_prompt_tokens],
            response_ids=tokens[len(tokens) - len(mask) :][:length] if mask else [],
            response_mask=mask[:length],
            response_logprobs=log_probs[:length] or None,
            reward_score=float(scene.won),
            num_turns=2 * len(steps),
            metrics={},
            extra_fields={
                "turn_scores": [],
                "tool_rewards": [],
                "reward_extra_info": {"won": float(scene.won)},
                **extra_fields,
                # What GraphGPO needs: the steps, whether the rollout succeeded, where it ended.
                **steps.rollout_fields(success=bool(scene.won), final_state=state(scene)),
            },
        )


def state(scene: textworld.GameState) -> str:
    """What two rollouts must share to be in the same situation: the room and the inventory."""
    return f"{' '.join(scene.description.split())} | {' '.join(scene.inventory.split())}"


def observation(scene: textworld.GameState) -> str:
    commands = "\n".join(scene.admissible_commands)
    return f"{scene.description.strip()}\n{scene.inventory.strip()}\nCommands:\n{commands}"


def command(reply: str) -> str:
    """The command in <command>...</command>, or the reply's last line."""
    tagged = re.findall(r"<command>(.*?)</command>", reply, flags=re.DOTALL)
    lines = (tagged[-1] if tagged else reply).strip().splitlines()
    return lines[-1].strip() if lines else "look"
