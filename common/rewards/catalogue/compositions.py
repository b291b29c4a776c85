"""The catalogue's entries of what is made of rewards, and of what rewards are made with."""

from __future__ import annotations

from collections.abc import Mapping

from common.rewards.catalogue.entry import Entry

#: Rewards made of several.
COMPOSITES = (
    Entry(
        *("weighted_sum", ".compose:WeightedSum", "composite", "weighted sum, renormalised over what was scored"),
        paper="HARMO (2510.05283); GDPO (2601.05242)",
        differs="a part that is missing is left out, never counted as 0",
        used_by=("captioning", "medvqa", "text2sql"),
    ),
    Entry(
        *("product", ".compose:Product", "composite", "product: each factor guards the others"),
        paper="R3 (2402.03469); GoT-R1 (2505.17022)",
        differs="refuses factors that can be negative",
        used_by=("medvqa",),
    ),
    Entry(
        *("gate", ".compose:Gate", "composite", "the dear reward only where the cheap one holds"),
        paper="VRAG-RL (2505.22019)",
        differs="a threshold that is given; a gate that failed is NaN",
    ),
    Entry(
        *("soft_gate", ".routing:SoftGate", "composite", "a gate with a slope on both sides"),
    ),
    Entry(
        *("route", ".routing:Route", "composite", "each row by the reward that a column names"),
        paper="R3 (2402.03469); HARMO (2510.05283); Mixed-R1 (2505.24164)",
        differs="an unknown key raises; the kind of row comes from a column, not from a classifier",
    ),
    Entry(
        *("confidence", ".routing:Confidence", "composite", "a rule where it is sure, a model where it is not"),
        paper="HARMO (2510.05283), R_hybrid",
        differs="reconstructed from reviews; the model is asked only where it has weight",
    ),
    Entry(
        *("ensemble", ".ensemble:Ensemble", "composite", "mean of graders less κ times their deviation"),
        paper="BaseReward (2509.16127)",
        differs="pessimism is ours; a member that failed is never 0",
    ),
    Entry(
        *("mixed_grain", ".ensemble:MixedGrain", "composite", "a whole and its items"),
        paper="PageLLM (2025)",
        differs="inspired by: its weights are not known",
    ),
    Entry(
        *("adherence", ".text.instructions:adherence", "composite", "share of the instructions that are obeyed"),
        paper="HARMO (2510.05283), instruction term",
        differs="inspired by: the formula was not at hand",
        used_by=("medvqa",),
    ),
)

#: Rewards made of one other.
TRANSFORMS = (
    Entry(
        *("max_over", ".max_over:MaxOver", "transform", "the best of a row's candidates"),
        paper="ChatR1 (2510.13312)",
        differs="only the first candidates count; one that could not be scored makes the row NaN",
    ),
    Entry(
        *("affine", ".transforms.basic:Affine", "transform", "scale · r + shift"),
        used_by=("medvqa",),
    ),
    Entry(
        *("center", ".transforms.basic:Center", "transform", "the reward less a constant"),
        paper="PPR / ReNorm (2509.25598)",
        differs="no claim of stabilisation: under a group z-score it changes nothing",
    ),
    Entry(
        *("above", ".transforms.basic:Above", "transform", "r where it is above ε, else 0"),
        paper="ONI (2410.23022)",
    ),
    Entry("dead_band", ".transforms.basic:DeadBand", "transform", "what lies near a level is that level"),
    Entry("clip", ".transforms.basic:Clip", "transform", "cut at two limits"),
    Entry("rescale", ".transforms.basic:Rescale", "transform", "a narrow band spread to [0, 1] by frozen percentiles"),
    Entry(
        "percentile_rescale",
        ".transforms.rescale:PercentileRescale",
        "transform",
        "the same, by an audit's percentiles",
    ),
    Entry(
        "cached", ".transforms.basic:Cached", "transform", "remembers scores, never a NaN", paper="ONI (2410.23022)"
    ),
    Entry(
        *("threshold", ".transforms.rescale:Threshold", "transform", "1 where the score reaches τ"),
        paper="MediX-R1 (2602.23363)",
        used_by=("medvqa",),
    ),
    Entry("affine_baseline", ".transforms.rescale:AffineBaseline", "transform", "0 for what unrelated texts score"),
    Entry(
        *("group_minmax", ".transforms.rescale:GroupMinMax", "transform", "place in the group, with a dead band"),
        paper="ARMed (2508.12957)",
        differs="inspired by; see apps/medvqa/README.md",
    ),
    Entry(
        *(
            "group_normalize",
            ".transforms.grouped:GroupNormalize",
            "transform",
            "z-score in the group; usually wrong",
        ),
        paper="GDPO (2601.05242)",
        differs="a floor for the deviation; GDPO itself is trl's, outside the reward",
    ),
    Entry(
        *("group_rank", ".transforms.grouped:GroupRank", "transform", "rank in the group; usually wrong"),
    ),
    Entry(
        *(
            "group_length_penalty",
            ".transforms.grouped:GroupLengthPenalty",
            "transform",
            "right, but longer than the right ones",
        ),
        paper="HARMO (2510.05283), R_λ",
        differs="reconstructed: P_max, τ and the exact form are not known",
    ),
    Entry(
        *("running_normalize", ".transforms.running:RunningNormalize", "transform", "(r − μ) / σ of all past steps"),
        paper="ONI (2410.23022); SB3's VecNormalize",
        differs="a step is scored by what was known before it; a floor for σ",
    ),
    Entry(
        *("count_decay", ".episodes.counts:CountDecay", "transform", "r · N^−β, N times seen in the episode"),
        paper="ONI (2410.23022)",
        differs="refuses rewards below 0, whose repetition would hurt less",
    ),
    Entry(
        *("scheduled", ".episodes.steps:Scheduled", "transform", "a weight that changes with the step"),
        paper="ToolRL (2504.13958), format first",
        differs="a typed config instead of environment variables",
    ),
    Entry(
        *("baseline", ".ensemble:Baseline", "transform", "how much better than the greedy completion"),
        paper="Self-critical question generation (2021); SCST (1612.00563)",
        differs="the transform alone; captioning trains with its own advantages",
    ),
    Entry(
        *("potential_shaping", ".episodes.steps:PotentialShaping", "transform", "γ Φ(s') − Φ(s)"),
        paper="Ng et al. 1999",
    ),
    Entry(
        *(
            "discounted_credit",
            ".episodes.steps:DiscountedCredit",
            "transform",
            "the outcome for every step, γ^(T−1−t) R",
        ),
        paper="OpenEnv",
        differs="an episode without its end is NaN",
    ),
    Entry(
        *(
            "history_quantile",
            ".transforms.history:HistoryQuantile",
            "transform",
            "place among the scores of past steps",
        ),
        paper="ARMed (2508.12957)",
        differs="inspired by; see apps/medvqa/README.md",
    ),
    Entry(
        *("history_sigmoid", ".transforms.history:HistorySigmoid", "transform", "sigmoid of the running z-score"),
        paper="ARMed (2508.12957); ONI (2410.23022), running mean and deviation",
        differs="inspired by, with a dead band",
    ),
    Entry(
        *(
            "intrinsic",
            ".episodes.intrinsic:Intrinsic",
            "transform",
            "adds a language model's opinion of what happens",
        ),
        paper="ONI (2410.23022)",
        differs="clean-room; rows that wait for a label are NaN, not 0",
        used_by=("driving",),
    ),
    Entry(
        *(
            "return_decomposition",
            ".episodes.decomposition:ReturnDecomposition",
            "transform",
            "a dense reward from a return",
        ),
        paper="LaRe (2412.11120); RRD (2111.13485)",
        differs="factors are written by hand, never executed model text",
        used_by=("driving",),
    ),
)

#: What rewards are made with.
PIECES = (
    Entry(
        *(
            "document_frequency",
            ".text.cider:DocumentFrequency.from_references",
            "piece",
            "n-grams of a caption corpus",
        ),
        used_by=("captioning",),
    ),
    Entry(
        *("endpoint", "common.config:JudgeConfig", "piece", "where and how a judge is asked"),
        used_by=("driving", "medvqa", "text2sql", "text3d"),
    ),
    Entry(
        "embedding_table",
        ".text.bmas:EmbeddingTable",
        "piece",
        "a language model's input embeddings",
        used_by=("medvqa",),
    ),
    Entry(
        "word_vectors",
        ".text.bmas:WordVectors",
        "piece",
        "a sentence encoder as a table of words",
        used_by=("medvqa",),
    ),
    Entry(
        *("judge_annotator", ".episodes.labels:JudgeAnnotator", "piece", "a judge that labels what happens"),
        used_by=("driving",),
    ),
    Entry(
        "label_queue",
        ".episodes.labels:LabelQueue",
        "piece",
        "labels in batches, with deadlines",
        used_by=("driving",),
    ),
)

#: What a training script calls itself, by name; no rewards, so that no config names them.
FUNCTIONS: Mapping[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            *(
                "to_preference_pairs",
                ".trained.preference_pairs:to_preference_pairs",
                "function",
                "scores as pairs for DPO",
            ),
            paper="TeaRAG (2025), IP-DPO",
            differs="best against worst with a margin; a row that could not be scored is in no pair",
        ),
        Entry(
            *(
                "contrastive_token_rewards",
                ".transforms.token_credit:contrastive_token_rewards",
                "function",
                "credit for tokens",
            ),
            paper="T-REG (2412.02685)",
            differs="the function alone: trl takes one number a completion",
        ),
        Entry(
            *("spread", ".transforms.token_credit:spread", "function", "a completion's reward over its tokens"),
            paper="T-REG (2412.02685)",
            differs="two forms of ours; T-REG regularises a DPO loss instead",
        ),
    )
}
