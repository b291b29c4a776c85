"""What stands in `common.rewards`, under the names that a config uses. Listing it imports nothing heavy.

`build` makes a reward of an entry; the page `common/rewards/README.md` is this table in prose.
"""

from __future__ import annotations

from collections.abc import Mapping

from common.rewards.catalogue.compositions import COMPOSITES, FUNCTIONS, PIECES, TRANSFORMS
from common.rewards.catalogue.entry import Entry, Kind

__all__ = ["CATALOGUE", "COMPOSITES", "FUNCTIONS", "LEAVES", "PIECES", "TRANSFORMS", "Entry", "Kind"]

#: Rewards that score rows themselves.
LEAVES = (
    Entry(
        *("exact_match", ".text.matching:ExactMatch", "leaf", "1 where both texts read the same"),
        paper="Mixed-R1 (2505.24164), matching",
        differs="normalised for every script; several references",
        used_by=("medvqa",),
    ),
    Entry(
        *("token_f1", ".text.matching:TokenF1", "leaf", "F1 on bags of tokens"),
        paper="ChatR1 (2510.13312)",
        differs="best of several references; tokens of any script",
        used_by=("medvqa",),
    ),
    Entry(
        *("numeric_match", ".text.numeric:NumericMatch", "leaf", "a number within a relative tolerance"),
        paper="Mixed-R1 (2505.24164), chart, after ChartQA",
        differs="inspired by: the paper's formula was not at hand; two different numbers are no answer",
    ),
    Entry(
        *("box_iou", ".image.boxes:BoxIou", "leaf", "IoU of boxes matched one to one"),
        paper="Mixed-R1 (2505.24164); GoT-R1 (2505.17022)",
        differs="a missing box and one too many count as 0",
        used_by=("text3d",),
    ),
    Entry(
        *("bmas", ".text.bmas:Bmas", "leaf", "greedy match of token vectors, both ways"),
        paper="Mixed-R1 (2505.24164), BMAS",
        differs="reconstructed from its name; cut at 0",
        used_by=("medvqa",),
    ),
    Entry(
        *(
            "encoder_similarity",
            ".text.matching:EncoderSimilarity",
            "leaf",
            "cosine of sentence vectors, spread to [0, 1]",
        ),
        paper="Shaping Explanations (2509.13081)",
        differs="a calibrated map instead of the raw cosine",
        used_by=("captioning", "medvqa"),
    ),
    Entry(
        *("explanation_similarity", ".text.explanation:ExplanationSimilarity", "leaf", "the same, of the reasoning"),
        paper="Shaping Explanations (2509.13081)",
        differs="the answer and the form are rewards of their own",
        used_by=("medvqa",),
    ),
    Entry(
        *(
            "template_format",
            ".text.matching:TemplateFormat",
            "leaf",
            "share of the tags that stand once and in order",
        ),
        paper="MM-R5 (2506.12364); ToolRL (2504.13958)",
        differs="a share instead of all or nothing; a repeated tag earns nothing",
    ),
    Entry(
        *("strict_tags", ".text.instructions:StrictTags", "leaf", "exactly the given tags and nothing besides"),
        paper="MM-R5 (2506.12364)",
        differs="inspired by: the paper's template was not at hand",
        used_by=("medvqa",),
    ),
    Entry(
        *("max_words", ".text.instructions:MaxWords", "leaf", "at most so many words"),
        paper="HARMO (2510.05283), instruction term",
        differs="inspired by: the formula was not at hand",
        used_by=("medvqa",),
    ),
    Entry(
        *("one_answer", ".text.instructions:OneAnswer", "leaf", "one answer, no list of alternatives"),
        paper="HARMO (2510.05283), instruction term",
        differs="inspired by: the formula was not at hand",
    ),
    Entry(
        *("choice_letter", ".text.instructions:ChoiceLetter", "leaf", "the answer starts with a choice's letter"),
        paper="HARMO (2510.05283), instruction term",
        differs="inspired by: the formula was not at hand",
    ),
    Entry(
        *("answer_language", ".text.instructions:AnswerLanguage", "leaf", "the answer is in the row's language"),
        paper="HARMO (2510.05283), instruction term",
        differs="inspired by: the formula was not at hand",
    ),
    Entry(
        *("length_window", ".text.length:LengthWindow", "leaf", "penalty for too many or too few words"),
        paper="HARMO (2510.05283), generalised length penalty",
        differs="inspired by: the formula was not at hand; bounded, with slope 0 at either end",
    ),
    Entry(
        *("repetition", ".text.length:Repetition", "leaf", "minus the share of repeated n-grams"),
        paper="R3 (2402.03469), RP − 1",
        differs="on words of any script; 0 for a text of fewer than n words",
    ),
    Entry(
        *("bleu", ".text.captions:Bleu", "leaf", "sentence BLEU"),
        paper="Self-critical question generation (2021)",
        used_by=("captioning",),
    ),
    Entry(
        *("rouge_l", ".text.captions:RougeL", "leaf", "F of the longest common subsequence"),
        paper="Lin 2004",
        differs="COCO's best precision and recall over references",
        used_by=("medvqa",),
    ),
    Entry(
        *("rouge_n", ".text.rouge:RougeN", "leaf", "F1 of n-grams"),
        paper="Lin 2004; ARMed (2508.12957)",
    ),
    Entry(
        *("cider_d", ".text.captions:CiderD", "leaf", "CIDEr-D against a corpus' document frequency"),
        paper="Self-critical training (1612.00563)",
        used_by=("captioning",),
    ),
    Entry(
        *("clip_score", ".image.clip:ClipScore", "leaf", "CLIP's cosine of picture and caption"),
        paper="CLIPScore (2104.08718); CgT-GAN (2308.12045)",
        used_by=("captioning",),
    ),
    Entry(
        *(
            "ref_clip_score",
            ".image.clip:RefClipScore",
            "leaf",
            "harmonic mean of CLIPScore and the nearest reference",
        ),
        paper="CLIPScore (2104.08718)",
    ),
    Entry(
        *("contrastive_goal", ".image.clip:ContrastiveGoal", "leaf", "a picture shows the goal, not its contrary"),
        paper="VLM-RL (2412.15544)",
        differs="three forms: the paper's, its code's and a softmax",
        used_by=("driving",),
    ),
    Entry(
        *("goal_baseline", ".image.clip:GoalBaseline", "leaf", "VLM-RM's goal with baseline regularisation"),
        paper="VLM-RM (2310.12921)",
        used_by=("driving",),
    ),
    Entry(
        *("llm_judge", ".judges.answer:LlmJudge", "leaf", "a judge's mark against references"),
        paper="MediX-R1 (2602.23363)",
        differs="the candidate is data in JSON; an outage is NaN, never 0",
        used_by=("medvqa",),
    ),
    Entry(
        *("remote", ".remote:RemoteReward", "leaf", "the reward behind a URL"),
        differs="see common/scale/README.md",
    ),
    Entry(
        *(
            "discriminator",
            ".trained.discriminator:Discriminator",
            "leaf",
            "how natural a text is to a trained discriminator",
        ),
        paper="CgT-GAN (2308.12045)",
        differs="the logit is cut",
        used_by=("captioning",),
    ),
    Entry(
        *("anls", ".text.edits:Anls", "leaf", "1 − normalised edit distance, 0 beyond a threshold"),
        paper="VRAG-RL (2505.22019); ANLS (1907.00490)",
        differs="normalised for every script; an empty gold is NaN",
    ),
    Entry(
        *("chart_match", ".text.edits:ChartMatch", "leaf", "numbers by tolerance, texts by edit distance"),
        paper="Mixed-R1 (2505.24164), chart",
        differs="inspired by: the paper's formula was not at hand",
    ),
    Entry(
        *("diff_similarity", ".text.edits:DiffSimilarity", "leaf", "F1 of the edits of a repair"),
        paper="Code Security Vulnerability Repair (2024)",
        differs="ours: only edits count, in place of weights on whole programs",
    ),
    Entry(
        *("ndcg", ".text.ranking:Ndcg", "leaf", "discounted gain of a ranking, over the ideal one's"),
        paper="VRAG-RL (2505.22019); MM-R5 (2506.12364); CodeSearchNet (2019)",
        differs="no relevant item is NaN, there 0; an item named twice counts once",
    ),
    Entry(
        *("recall_at_k", ".text.ranking:RecallAtK", "leaf", "share of the relevant items among the first k"),
        paper="MM-R5 (2506.12364)",
        differs="inspired by: the paper's formula was not at hand",
    ),
    Entry(
        *("structured_match", ".text.structured:StructuredMatch", "leaf", "calls by names, keys and values"),
        paper="ToolRL (2504.13958)",
        differs="in [0, 1], [−3, 3] by `affine`; 1 and true differ; no switch by environment variables",
    ),
    Entry(
        *("rubric", ".judges.rubric:JudgedRubric", "leaf", "a judge's verdicts on fixed criteria"),
        paper="GoT-R1 (2505.17022); Are LLMs Good at Utility Judgments? (2024), shuffles",
        differs="criteria and instructions are the user's; an unreadable reply is NaN",
    ),
    Entry(
        *("nuggets", ".judges.rubric:NuggetRubric", "leaf", "facts that a response supports: 1, ½ or 0 each"),
        paper="Search-Gen-V (2510.14660)",
        differs="replies are read as JSON, there by `eval`; the weighted mean is inspired by it",
    ),
    Entry(
        *("verdict_match", ".text.verdicts:VerdictMatch", "leaf", "a verifier's labels of nuggets, and its form"),
        paper="Search-Gen-V (2510.14660), the verifier's training",
        differs="read as JSON, there by `eval`; the tags are ours; form alone earns nothing",
    ),
    Entry(
        *("principle_judge", ".judges.principle:PrincipleJudge", "leaf", "a group judged at once by a principle"),
        paper="RewardAnything (2506.03637)",
        differs="names and order are drawn from the responses; any endpoint; a count mismatch is NaN for the group",
    ),
    Entry(
        *("layout_judge", ".judges.layout:RenderedLayoutJudge", "leaf", "planned boxes drawn and marked by a judge"),
        paper="GoT-R1 (2505.17022), R_spa",
        differs="its code is not public: instructions and drawing are ours",
    ),
    Entry(
        *("yes_no", ".judges.yes_no:YesNo", "leaf", "a VLM's probability of yes against no"),
        paper="VLM3D (2511.14271); VQAScore",
        differs="NaN where the model says neither",
    ),
    Entry(
        *(
            "step_utility",
            ".text.reflection:StepUtility",
            "leaf",
            "an answer, and how well its search steps were judged",
        ),
        paper="ReSeek (2025)",
        differs="similarity is a column, and a service that failed NaN, there 0.0",
    ),
    Entry(
        *(
            "self_agreement",
            ".text.agreement:SelfAgreement",
            "leaf",
            "agreement with the majority of a paired question",
        ),
        paper="Co-Reward (2508.00410)",
        differs="a tie is no label: NaN",
    ),
    Entry(
        *("likelihood", ".text.likelihood:Likelihood", "leaf", "how likely the right answer becomes"),
        paper="LLM-Embedder (Retrieve Anything, 2023)",
        differs="inspired by: as a reward, cut below",
    ),
    Entry(
        *(
            "learned_reward",
            ".trained.learned_reward:LearnedReward",
            "leaf",
            "what preference pairs taught a small head",
        ),
        paper="BaseReward (2509.16127)",
        differs="any backbone; features come in standardised; a calibrated scale",
    ),
    Entry(
        *("length_incentive", ".text.length:LengthIncentive", "leaf", "units / u, up to a cap"),
        paper="R3 (2402.03469), LI",
        differs="capped",
    ),
    Entry(
        *("repetition_penalty", ".text.length:RepetitionPenalty", "leaf", "share of different n-grams of token ids"),
        paper="R3 (2402.03469), RP",
        differs="on token ids instead of words",
    ),
    Entry(
        *("step_penalty", ".episodes.steps:StepPenalty", "leaf", "each step beyond the free ones costs"),
        paper="TeaRAG (2025), IP-DPO",
        differs="inspired by: known from the abstract; capped",
    ),
)

#: Everything a config can name.
CATALOGUE: Mapping[str, Entry] = {entry.name: entry for entry in (*LEAVES, *COMPOSITES, *TRANSFORMS, *PIECES)}
