"""What fuzzing found, one by one: each input once ended in another error, a crash, or a full memory."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import DataError, UsageError
from common.files import locate, read_json, read_jsonl
from tests.fuzz.assets import MAP, isolated


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"a": ' + "9" * 5000 + "}"])
def test_json_deeper_or_longer_than_python_reads(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n' + text)
    with pytest.raises(DataError, match=r"rows\.jsonl:2: not JSON"):
        list(read_jsonl(path))
    path.write_text(text)
    with pytest.raises(DataError, match=r"rows\.jsonl"):
        read_json(path)


@pytest.mark.parametrize("operand", ["SM singer", "SELEsinger", "VALUES (1)"])
def test_an_operand_of_union_that_is_no_query(operand: str) -> None:
    from apps.text2sql.execution.statement import Refused
    from apps.text2sql.measures.clauses import read_clauses
    from tests.fuzz.texts import _schema

    query = f"WITH a AS ({operand} UNION ALL SELECT singer FROM concert) SELECT * FROM a"
    if operand == "VALUES (1)":
        assert read_clauses(query, _schema(), "sqlite")
        return
    with pytest.raises(Refused, match="an operand of UNION is no query"):
        read_clauses(query, _schema(), "sqlite")


def test_a_pair_of_queries_with_an_endless_number(tmp_path: Path) -> None:
    from apps.text2sql.score import _read

    path, problems = tmp_path / "pairs.jsonl", {}
    path.write_text('{"gold": ' + "9" * 5000 + "}")
    assert _read(path, problems) == {}
    assert "not JSON" in problems[1]


def test_a_word_of_thousands_of_letters_is_near_nothing() -> None:
    """Its spellings without two letters would have filled 13 GB."""
    from apps.medvqa.answers import AnswerScorer
    from apps.medvqa.answers.text import LONGEST_SLIP, near, shortened

    word = "a" * 4000
    assert shortened(word) == [word]
    assert not near(word, word[1:])
    assert len(shortened("abcdefghij" * 5)) == 1 + 49 + 49 * 48 / 2
    assert LONGEST_SLIP == 50
    assert AnswerScorer().score(f"pneumothorx {word}", "pneumothorax").score > 0


def test_a_number_too_long_for_a_float_before_a_fraction() -> None:
    from apps.medvqa.answers.tidying import spell_fractions

    assert spell_fractions("9" * 400 + "½ and 1½ and ½") == "9" * 400 + "½ and 1.5 and 0.5"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('d="0"/></elevationProfile>', 'd="672"/></elevationProfile>', "m long"),
        ('hdg="0" length="3" width="6"', 'hdg="0" length="3" width="6" ', ""),
        ('id="1" s="5" t="0"', 'id="1" s="1e9" t="0"', "refuses"),
        ('<laneSection s="15">', '<laneSection s="1e9">', "from its beginning to its end"),
        ('<laneSection s="15">', '<laneSection s="-1">', "from its beginning to its end"),
        ('</planView><lanes><laneSection s="0">', '</planView><lanes><laneSection s="1">', "from its beginning"),
        ('<geometry s="0" x="30"', '<geometry s="7" x="30"', "from its beginning"),
        ('<center><lane id="0" type="none"/>', '<center><lane id="7" type="none"/>', "not one lane 0"),
        ('<lane id="-2"', '<lane id="-1"', "two lanes of one id"),
        ('<lane id="-1" type="driving" level', '<lane id="99999" type="driving" level', "not one lane 0"),
        ('id="2" junction="7" length="12"', 'id="-2" junction="7" length="12"', "broken|refuses"),
        ('incomingRoad="1"', 'incomingRoad="99"', "refuses|$"),
    ],
)
def test_maps_that_took_the_process_down_or_never_ended(old: str, new: str, message: str) -> None:
    pytest.importorskip("carla", reason="CARLA's client library is not installed")
    from apps.driving.roads.opendrive import from_opendrive

    assert old in MAP
    text = MAP.replace(old, new, 1)
    if not message or message.endswith("$"):
        try:
            isolated(lambda one: from_opendrive(one, "found"), text)
        except UsageError as error:
            assert "refuses" in str(error)
        return
    with pytest.raises(UsageError, match=message):
        isolated(lambda one: from_opendrive(one, "found"), text)


def test_a_map_that_takes_carlas_reader_down_is_told_and_nothing_else_happens(tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="CARLA's client library is not installed")
    from apps.driving.roads.opendrive import from_opendrive, read_opendrive

    (tmp_path / "found.xodr").write_text(MAP.replace('<laneOffset s="0"', '<laneOffset s="1.0"', 1))
    with pytest.raises(DataError, match=r"found\.xodr: CARLA's reader crashed on it"):
        read_opendrive(tmp_path / "found.xodr")
    (tmp_path / "whole.xodr").write_text(MAP)
    read, here = read_opendrive(tmp_path / "whole.xodr"), from_opendrive(MAP, "whole")
    assert vars(read).keys() == vars(here).keys()
    assert all(np.array_equal(one, vars(here)[name]) for name, one in vars(read).items())


def test_more_lanes_than_any_map_has() -> None:
    from apps.driving.roads.opendrive import from_opendrive

    head, road = MAP[: MAP.index("<road")], MAP[MAP.index('<road rule="RHT" id="2"') : MAP.index("<junction")]
    roads = "".join(road.replace('id="2"', f'id="{n}"').replace('"12"', '"99999"') for n in range(60))
    with pytest.raises(DataError, match="5,999,940 m; at most 5,000,000"):
        from_opendrive(f"{head}{roads}</OpenDRIVE>", "found")


@pytest.mark.parametrize("name", ["format", "xyz", "lane", "next_start", "crossings", "digest"])
@pytest.mark.parametrize("value", [np.array("text"), np.zeros((2, 0)), np.array([1j]), np.array(["a", "b"])])
def test_road_networks_whose_columns_are_of_another_kind(tmp_path: Path, name: str, value: Any) -> None:
    from apps.driving.roads.network_files import load

    if name == "digest" and value.shape:
        value = np.array([1j])
    with np.load(locate("assets/driving/maps/ring.npz")) as file:
        columns = {one: file[one] for one in file.files}
    np.savez(tmp_path / "ring.npz", **{**columns, name: value})
    if name == "digest":
        return
    with pytest.raises(DataError, match=r"ring\.npz"):
        load(tmp_path / "ring.npz")


@pytest.mark.parametrize("pieces", [[[735, 10**12]], [[5, 4]], [[-1, 3]], [[0, float("inf")]], [[0, 900]] * 60])
def test_routes_of_points_that_the_map_does_not_have(tmp_path: Path, pieces: list[Any]) -> None:
    from apps.driving.roads.library import load_roads
    from apps.driving.roads.route_files import read_routes

    roads = load_roads("ring")
    row = {"name": "a", "length": 5.0, "points": pieces}
    file = {"format": 1, "town": "ring", "digest": roads.digest, "routes": [row]}
    (tmp_path / "routes.json").write_text(json.dumps(file))
    with pytest.raises(DataError, match=r"routes\.json: route 1 cannot be read"):
        read_routes(tmp_path / "routes.json", roads)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"state": {"other": 1}}', "lacks names of line 1's"),
        ('{"state": {"speed": 1' + "0" * 400 + "}}", "too large"),
        ('{"state": {"speed": ' + "[" * 900 + "]" * 900 + "}}", "must be a number"),
    ],
)
def test_states_that_no_reward_reads(tmp_path: Path, line: str, message: str) -> None:
    from apps.driving.config import DrivingConfig
    from apps.driving.score import run_score

    (tmp_path / "states.jsonl").write_text('{"state": {"speed": 1}}\n' + line)
    with pytest.raises(DataError, match=rf"states\.jsonl:2: .*{message}"):
        run_score(DrivingConfig(), str(tmp_path / "states.jsonl"), str(tmp_path / "out.jsonl"), "revolve")


def test_a_road_network_whose_arrays_header_never_ends(tmp_path: Path) -> None:
    from apps.driving.roads.network_files import load

    header = b"{'descr': '<i4', 'fortran_order': False, 'shape': (3,".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "ring.npz", "w") as archive:
        archive.writestr("xyz.npy", b"\x93NUMPY\x01\x00\x76\x00" + header + bytes(12))
    with pytest.raises(DataError, match=r"ring\.npz: this is no road network"):
        load(tmp_path / "ring.npz")


def test_a_road_network_that_unpacks_to_more_than_any_town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.driving.roads import network_files

    np.savez_compressed(tmp_path / "bomb.npz", xyz=np.zeros((10**6, 3)))
    assert (tmp_path / "bomb.npz").stat().st_size < 50_000
    monkeypatch.setattr(network_files, "MOST_BYTES", 10**7)
    with pytest.raises(DataError, match=r"bomb\.npz: unpacked it has 24,000,"):
        network_files.load(tmp_path / "bomb.npz")


def test_dicom_values_that_float32_cannot_hold() -> None:
    from common.dicom.reader import open_dicom
    from tests.common.dicom.dicoms import dicom

    source = dicom(np.ones((8, 9), np.uint16), Modality="CT", RescaleSlope="1", RescaleIntercept="-1e308")
    with pytest.raises(DataError, match="not finite, or too large"):
        open_dicom(source)


def test_postscript_is_no_picture_here(tmp_path: Path) -> None:
    """Pillow would have started Ghostscript on it."""
    from common.pictures import formats, load_picture

    assert "EPS" not in formats()
    assert {"PNG", "JPEG", "TIFF", "WEBP"} <= set(formats())
    path = tmp_path / "page.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(DataError, match=r"page\.png: this is no picture"):
        load_picture(path)


@pytest.mark.parametrize("text", ["!!int", "!!int ''", "!!bool x", "!!timestamp x", "!!float", "a: !!int\n"])
def test_tags_of_yaml_on_values_of_another_kind(tmp_path: Path, text: str) -> None:
    from common.config import read_yaml

    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(DataError, match=r"c\.yaml: cannot be read as YAML"):
        read_yaml(tmp_path / "c.yaml")


def test_databases_whose_damaged_schema_is_no_utf_8(tmp_path: Path) -> None:
    """SQLite quotes it in its message, which Python then cannot decode."""
    import sqlite3

    from apps.text2sql.assistant import inspect_database

    path = tmp_path / "a.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE singer (id INTEGER)")
    connection.close()
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE singer", b"CREAT\xb3 T\xb3BLE singer"))
    with pytest.raises(DataError, match=r"a\.sqlite"):
        inspect_database(str(path))


def test_configs_that_unfold_nest_or_never_end(tmp_path: Path) -> None:
    from apps.text2sql.config import Text2SqlConfig
    from common.config import load
    from common.rewards.build import read_block

    path = tmp_path / "c.yaml"
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for text, message in ((bomb, "no aliases"), ("[" * 190_000, "cannot be read"), ("#" * 200_001, "at most 200,000")):
        path.write_text(text)
        for read in (lambda: load(Text2SqlConfig, path), lambda: read_block(path, "reward")):
            with pytest.raises(UsageError, match=message) as raised:
                read()
            assert "c.yaml" in str(raised.value)


@pytest.mark.parametrize(
    "change",
    [{"net": [10**9]}, {"net": ["x"]}, {"net": 3}, {"algorithm": []}, {"action_space": {"kind": "Box"}}, "shape"],
)
def test_policies_that_no_memory_holds_or_no_network_fits(tmp_path: Path, change: Any) -> None:
    from common.training.sb3.model import POLICY, load_policy

    folder = tmp_path / "policy"
    shutil.copytree(locate("assets/driving/policy"), folder)
    about = json.loads((folder / POLICY).read_text())
    if change == "shape":
        huge = {"kind": "Box", "shape": [10**6, 10**6], "dtype": "float32", "low": "0", "high": "1"}
        change = {"observation_space": huge}
    (folder / POLICY).write_text(json.dumps({**about, **change}))
    with pytest.raises(DataError, match=r"config\.json"):
        load_policy(folder)


@pytest.mark.parametrize(
    "content",
    ["null", '{"policy": null}', "[" * 600 + "]" * 600, '{"policy": {}, "normaliser": {"keys": 3}}', "normaliser"],
)
def test_policies_whose_state_is_another(tmp_path: Path, content: str) -> None:
    from common.training.sb3.model import load_policy

    folder = tmp_path / "policy"
    shutil.copytree(locate("assets/driving/policy"), folder)
    state = json.loads((folder / "state.json").read_text())
    text = json.dumps({**state, "normaliser": {"epsilon": 1}}) if content == "normaliser" else content
    (folder / "state.json").write_text(text)
    with pytest.raises(DataError, match=str(folder)):
        load_policy(folder)


def test_a_policy_whose_weights_are_no_numbers(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from common.training.plain_state import TENSORS
    from common.training.sb3.model import load_policy

    folder = tmp_path / "policy"
    shutil.copytree(locate("assets/driving/policy"), folder)
    tensors = load_file(folder / TENSORS)
    next(iter(tensors.values())).fill_(float("nan"))
    save_file(tensors, folder / TENSORS)
    with pytest.raises(DataError, match="weights that are no numbers"):
        load_policy(folder)


@pytest.mark.parametrize(
    ("file", "content"),
    [("model.safetensors", b"\xff" * 64), ("config.json", {"layer_types": -4}), ("config.json", {"layer_types": []})],
)
def test_language_models_with_a_damaged_file(tmp_path: Path, file: str, content: Any) -> None:
    from common.config import LanguageModelConfig
    from common.models.language import load_language_model

    folder = tmp_path / "model"
    shutil.copytree(locate("assets/text2sql/model"), folder)
    if isinstance(content, dict):
        content = json.dumps({**json.loads((folder / file).read_text()), **content}).encode()
    (folder / file).write_bytes(content)
    with pytest.raises(UsageError, match=r"cannot load a model from there|model\.safetensors: damaged"):
        load_language_model(LanguageModelConfig(path=str(folder)))


@pytest.mark.parametrize("content", [b'{"version": "1.d"}', b"{" * 400, b"\xff"])
@pytest.mark.parametrize("name", ["text2sql/model", "captioning/clip", "captioning/discriminator"])
def test_tokenizers_raise_a_bare_exception_on_a_damaged_file(tmp_path: Path, name: str, content: bytes) -> None:
    from common.config import LanguageModelConfig
    from common.models.clip import Clip
    from common.models.language import load_tokenizer
    from common.rewards.trained.discriminator import Classifier

    folder = tmp_path / "model"
    shutil.copytree(locate(f"assets/{name}"), folder)
    (folder / "tokenizer.json").write_bytes(content)
    load: dict[str, Callable[[], Any]] = {
        "text2sql/model": lambda: load_tokenizer(LanguageModelConfig(path=str(folder))),
        "captioning/clip": lambda: Clip(folder).text(["a"]),
        "captioning/discriminator": lambda: Classifier(folder).logits(["a"]),
    }
    with pytest.raises(UsageError, match=str(folder)):
        load[name]()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("text2sql/model", "tokenizer_config.json"),
        ("captioning/clip", "open_clip_config.json"),
        ("captioning/captioner", "captioner.json"),
    ],
)
def test_settings_that_are_no_object(tmp_path: Path, name: str, file: str) -> None:
    from apps.captioning.model import load_captioner
    from common.config import LanguageModelConfig
    from common.models.clip import Clip
    from common.models.language import load_tokenizer

    folder = tmp_path / "model"
    shutil.copytree(locate(f"assets/{name}"), folder)
    (folder / file).write_text("7")
    load: dict[str, Callable[[], Any]] = {
        "tokenizer_config.json": lambda: load_tokenizer(LanguageModelConfig(path=str(folder))),
        "open_clip_config.json": lambda: Clip(folder).dim,
        "captioner.json": lambda: load_captioner(folder),
    }
    with pytest.raises(DataError, match=rf"{file}: expected a JSON object, found int"):
        load[file]()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("generation_config.json", '{"eos_token_id": [[1], {}]}', "eos_token_id of generation_config"),
        ("chat_template.jinja", "{% part %}", "its chat template fails"),
        ("chat_template.jinja", "{% set messages.x = 1 %}", "its chat template fails"),
    ],
)
def test_language_models_that_cannot_speak(tmp_path: Path, file: str, content: str, message: str) -> None:
    from common.config import LanguageModelConfig
    from common.models.language import generate, load_language_model

    folder = tmp_path / "model"
    shutil.copytree(locate("assets/text2sql/model"), folder)
    (folder / file).write_text(content)
    model, tokenizer = load_language_model(LanguageModelConfig(path=str(folder)))
    with pytest.raises(UsageError, match=message):
        generate(model, tokenizer, [[{"role": "user", "content": "How many?"}]], 1)


@pytest.mark.parametrize("content", [{}, {"model_max_length": []}, {"pad_token": None}])
def test_a_classifier_whose_tokenizer_is_another(tmp_path: Path, content: dict[str, Any]) -> None:
    from common.rewards.trained.discriminator import Classifier

    folder = tmp_path / "model"
    shutil.copytree(locate("assets/captioning/discriminator"), folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, **content} if content else {}))
    with pytest.raises(UsageError, match=r"no row in the model's embedding|cannot be opened"):
        Classifier(folder).logits(["a dog"])


@pytest.mark.parametrize(
    ("file", "place", "value", "message"),
    [
        ("processor_config.json", "image_mean", [[], 1, 1], "setting of another kind"),
        ("processor_config.json", "size", {"shortest_edge": {}, "longest_edge": 9}, "setting of another kind"),
        ("tokenizer_config.json", "model_max_length", {}, "model_max_length of its tokenizer is no number"),
    ],
)
def test_vision_models_whose_settings_are_of_another_kind(
    tmp_path: Path, file: str, place: str, value: Any, message: str
) -> None:
    from common.models.vlm import VisionLanguageModel, ask

    folder = tmp_path / "model"
    shutil.copytree(locate("assets/medvqa/model"), folder)
    settings = json.loads((folder / file).read_text())
    settings.get("image_processor", settings)[place] = value
    (folder / file).write_text(json.dumps(settings))
    with pytest.raises(UsageError, match=message):
        VisionLanguageModel(folder).generate([ask("What?")], 1)


def test_a_clip_whose_tokenizer_cannot_pad(tmp_path: Path) -> None:
    from common.models.clip import Clip

    folder = tmp_path / "model"
    shutil.copytree(locate("assets/captioning/clip"), folder)
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(UsageError, match="cannot be opened"):
        Clip(folder).text(["a"])


def test_a_clip_whose_mean_is_no_numbers(tmp_path: Path) -> None:
    from common.models.clip import CONFIG_FILE, Clip

    folder = tmp_path / "model"
    shutil.copytree(locate("assets/captioning/clip"), folder)
    config = json.loads((folder / CONFIG_FILE).read_text())
    config["preprocess_cfg"]["std"] = [[[]], 1, 1]
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(UsageError, match="cannot be opened"):
        Clip(folder).text(["a"])


@pytest.mark.parametrize("change", [{"backbone": {"path": None}}, {"calibration": {"mean": 10**400}}])
def test_cards_of_learned_rewards_with_values_of_another_kind(tmp_path: Path, change: dict[str, Any]) -> None:
    from common.errors import TouchstoneError
    from common.rewards.trained.learned_reward import CARD, LearnedReward

    folder = tmp_path / "reward"
    shutil.copytree(locate("assets/rewards/answers"), folder)
    card = json.loads((folder / CARD).read_text())
    for name, new in change.items():
        card[name].update(new)
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(TouchstoneError, match=r"another type|must be numbers"):
        LearnedReward(folder)(prompt=["a"], completion=["b"])


def test_a_captioner_whose_shape_is_null(tmp_path: Path) -> None:
    from apps.captioning.model import SHAPE, load_captioner

    folder = tmp_path / "captioner"
    shutil.copytree(locate("assets/captioning/captioner"), folder)
    shape = json.loads((folder / SHAPE).read_text())
    (folder / SHAPE).write_text(json.dumps({**shape, "features": None}))
    with pytest.raises(DataError, match="no captioner has this shape"):
        load_captioner(folder)
