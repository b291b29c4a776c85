"""The 42 papers that this suite was read together from, and where each went: names, files, or why it has no place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """One paper.

    Attributes:
        number: in the reading list.
        title: short.
        source: arXiv id, or the year where none was recorded.
        names: what stands for it in the catalogue.
        elsewhere: files of applications and of `common` that hold the rest.
        why: where it has no place in a reward suite, the reason; else what to know, or nothing.
    """

    number: int
    title: str
    source: str
    names: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    why: str = ""


PAPERS = (
    Paper(1, "Semantic-Based Self-Critical Training for Question Generation", "2021", ("baseline", "bleu", "cider_d"),
          ("apps/captioning/learning/advantages.py",)),
    Paper(2, "Breaking Reward Collapse (ARMed)", "2508.12957", ("group_minmax", "history_quantile", "history_sigmoid"),
          ("apps/medvqa/parts/adaptive.py",)),
    Paper(3, "VLM-RL", "2412.15544", ("contrastive_goal",), ("apps/driving/parts/synthesis.py",)),
    Paper(4, "CgT-GAN", "2308.12045", ("clip_score", "discriminator"), ("apps/captioning/rewards.py",)),
    Paper(5, "Bridging the Semantic Gap: Contrastive Rewards for Multilingual Text-to-SQL", "2510.13827", (),
          ("apps/text2sql/parts/components.py",),
          "needs schemas and executed queries, so it lives in its application"),
    Paper(6, "VLMs as Differentiable Semantic and Spatial Rewards (VLM3D)", "2511.14271", ("yes_no",),
          ("apps/text3d/guidance/vlm.py",)),
    Paper(7, "Preference-free Alignment with Regularized Relevance Reward (R3)", "2402.03469",
          ("route", "product", "length_incentive", "repetition_penalty", "repetition")),
    Paper(8, "Code Security Vulnerability Repair using RL", "2024", ("diff_similarity",)),
    Paper(9, "Shaping Explanations", "2509.13081", ("encoder_similarity", "explanation_similarity"),
          ("apps/medvqa/rewards.py",)),
    Paper(10, "Online Intrinsic Rewards (ONI)", "2410.23022",
          ("intrinsic", "judge_annotator", "label_queue", "cached", "count_decay", "running_normalize", "above"),
          ("apps/driving/rewards.py",)),
    Paper(11, "Reasoning-SQL", "2503.23157", (), ("apps/text2sql/rewards.py", "apps/text2sql/parts/llm_judge.py"),
          "every part reads schemas or executes queries, so it lives in its application"),
    Paper(12, "RewardAnything", "2506.03637", ("principle_judge",)),
    Paper(13, "Inverse RL Meets LLM Post-Training (survey)", "2025",
          why="a survey: it gives words (Bradley–Terry, imitation as inverse RL), no reward of its own"),
    Paper(14, "An Efficient Rubric-based Generative Verifier (Search-Gen-V)", "2510.14660",
          ("nuggets", "verdict_match")),
    Paper(15, "VRAG-RL", "2505.22019", ("gate", "ndcg", "anls", "llm_judge")),
    Paper(16, "Hybrid Reward Normalization (PPR / ReNorm)", "2509.25598", ("center",)),
    Paper(17, "RAG-RewardBench", "2024", (),
          ("common/rewards/audit/measures.py", "common/rewards/trained/figures.py"),
          "a benchmark: its figure, pairwise accuracy, is the audit's and that of `train`"),
    Paper(18, "Mixed-R1", "2505.24164", ("exact_match", "box_iou", "bmas", "chart_match", "numeric_match"),
          ("apps/medvqa/rewards.py",)),
    Paper(19, "Co-Reward", "2508.00410", ("self_agreement",)),
    Paper(20, "MM-R5", "2506.12364", ("ndcg", "recall_at_k", "template_format", "strict_tags")),
    Paper(21, "VacancySBERT", "2023", why="an encoder for job titles: any encoder fits `encoder_similarity`"),
    Paper(22, "Latent Reward (LaRe)", "2412.11120", ("return_decomposition",), ("apps/driving/rewards.py",)),
    Paper(23, "BaseReward", "2509.16127", ("learned_reward", "ensemble"),
          ("common/rewards/trained/learned_reward.py", "common/rewards/trained/train.py")),
    Paper(24, "CodeSearchNet Challenge", "2019", ("ndcg",), (), "a benchmark: only its metric is of use"),
    Paper(25, "Whole Page Optimization (PageLLM)", "2025", ("mixed_grain",)),
    Paper(26, "TeaRAG (IP-DPO)", "2025", ("step_penalty", "to_preference_pairs"),
          ("common/rewards/trained/pairs.py",)),
    Paper(27, "ReSeek", "2025", ("step_utility",)),
    Paper(28, "Ragnarök", "2024", why="a framework and arena for retrieval; it scores systems by people's votes"),
    Paper(29, "Are LLMs Good at Utility Judgments?", "2024", ("rubric", "principle_judge"), (),
          "an evaluation: its remedy, several orders of a list, is `shuffles`"),
    Paper(30, "Non-Verbal Predicates in Semantic Role Labelling", "2023", why="a data set for parsers"),
    Paper(31, "Semantic sentence representations from visually grounded language", "2019",
          why="a recipe for an encoder, which CLIP has superseded"),
    Paper(32, "Probing Preference Representations (MRMBench)", "2025", (), ("common/rewards/trained/figures.py",),
          "an evaluation: its linear probes are among the figures of `train`"),
    Paper(33, "ToolRL", "2504.13958", ("structured_match", "template_format", "scheduled")),
    Paper(34, "T-REG", "2412.02685", ("contrastive_token_rewards", "spread")),
    Paper(35, "GoT-R1", "2505.17022", ("rubric", "layout_judge", "box_iou", "product"),
          ("apps/text3d/measures/got.py",)),
    Paper(36, "ReMoDetect", "2024",
          why="a detector of machine text; its warning, a proxy that rises while the held-out metric does not, is an "
          "alarm of `common/training/alarms.py`"),
    Paper(37, "Retrieve Anything (LLM-Embedder)", "2023", ("likelihood",), (),
          "a retriever's training; one idea of it is a reward"),
    Paper(38, "Beyond Monolithic Rewards (HARMO)", "2510.05283",
          ("route", "confidence", "group_length_penalty", "weighted_sum", "adherence", "length_window"),
          ("apps/medvqa/rewards.py",)),
    Paper(39, "SESA", "2017", why="an encoder for job titles: any encoder fits `encoder_similarity`"),
    Paper(40, "ChatR1", "2510.13312", ("token_f1", "max_over")),
    Paper(41, "MERIT / Coral", "2025", why="a data set for retrieval and a recipe to train on it"),
    Paper(42, "HEADLINES historical similarity", "2023", why="training pairs for encoders"),
)  # fmt: skip
