"""Manifests: what is read, what is refused by file, line and field, and what then is unknown."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import pytest

from kubeshield_tui.errors import SettingsError
from kubeshield_tui.evidence.netpol import manifest_files, yaml_lines
from kubeshield_tui.evidence.netpol.manifest_files import read_manifests
from kubeshield_tui.evidence.netpol.tri import Assumption
from tests.unit.netpol.stage import ALLOW, DENY, PODS, SHOP, UNKNOWN, ask, hangs_on, policy, reading_of, says, world_of

DB = "podSelector: {matchLabels: {app: db}}"
CLOSED = policy(DB, "closed")


def refused(text: str) -> str:
    """The one problem of a text."""
    (problem,) = reading_of(text).problems
    return problem.text


class TestTexts:
    @pytest.mark.parametrize(
        ("text", "line", "said"),
        [
            ("a:\n\tb: 1\nx: NetworkPolicy\n", 2, "not YAML"),
            ("kind: [NetworkPolicy\n", 2, "not YAML"),
            ("kind: NetworkPolicy\nspec: {{ .Values.spec }}\n", 2, ""),
            ("a: &a [*a]\nkind: NetworkPolicy\n", 1, "alias *a"),
            ("a: *b\nkind: NetworkPolicy\n", 1, "alias *b"),
            ("a: !!python/object/apply:os.system [ls]\nkind: NetworkPolicy\n", 1, "tag"),
            ("kind: NetworkPolicy\na: \x07\n", 2, "not YAML"),
            ("kind: NetworkPolicy\na: " + "[" * 100, 2, "levels deep"),
            ("kind: NetworkPolicy\n? {a: b}\n: c\n", 2, "key"),
        ],
    )
    def test_what_can_not_be_read_makes_all_unknown_where_it_may_hold_policies(
        self, text: str, line: int, said: str
    ) -> None:
        reading = reading_of(SHOP + PODS, text)
        (problem,) = reading.problems
        assert problem.text.startswith(f"b.yaml:{line}: ")
        assert said in problem.text
        verdict = ask(reading.world(), "shop/web", "shop/db")
        assert verdict.verdict == UNKNOWN
        assert "b.yaml" in verdict.assumptions[0].text

    def test_what_can_not_hold_policies_is_named_and_takes_nothing_away(self) -> None:
        reading = reading_of(SHOP + PODS + CLOSED, "a: [\n", "just text", "- 1", "a: 1")
        assert [problem.where.text for problem in reading.problems] == ["b.yaml:2", "c.yaml:1", "d.yaml:1", "e.yaml:1"]
        assert says(reading.world(), "shop/web", "shop/db") == DENY

    def test_a_broken_document_does_not_end_the_others(self) -> None:
        reading = reading_of(SHOP + PODS + "\n---\na: [\n" + CLOSED)
        assert len(reading.problems) == 1
        assert says(reading.world(), "shop/web", "shop/db") == DENY

    def test_lines_of_later_documents_are_those_of_the_file(self) -> None:
        reading = reading_of(
            "# one\n---\n\n---\na: 1\n...\n---\nkind: Pod\n\n---\n---\n", policy("ingres: []").lstrip()
        )
        assert [problem.where.text for problem in reading.problems] == ["a.yaml:5", "a.yaml:8", "b.yaml:6"]

    def test_anchors_are_shared_and_a_bomb_is_refused_by_its_line(self) -> None:
        names = "abcdefghij"
        bomb = "a: &a [NetworkPolicy]\n" + "".join(
            f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in pairwise(names)
        )
        reading = reading_of(SHOP + PODS, bomb)
        assert f"more than {yaml_lines.ITEMS_LIMIT:,} values" in reading.problems[0].text
        peers = policy(
            f"{DB}\ningress:\n- from: &peers [{{podSelector: {{}}}}]\n- from: *peers\n  ports: [{{port: 80}}]"
        )
        assert says(world_of(SHOP + PODS + peers), "shop/web", "shop/db") == ALLOW

    def test_merge_keys(self) -> None:
        text = policy(
            f"{DB}\ningress:\n- &rule {{ports: [{{port: 80}}]}}\n- {{<<: *rule, from: [{{podSelector: {{}}}}]}}"
        )
        world = world_of(SHOP + PODS + text)
        assert len(next(iter(world.policies)).ingress or ()) == 2  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("12:30:45", "12:30:45"),
            ("2024-01-01", "2024-01-01"),
            ("0x10", 16),
            ("010", 8),
            ("1_000", 1000),
            ("yes", True),
            ("off", False),
            ("~", None),
            ("1e3", 1000.0),
            ("1.2.3", "1.2.3"),
            ("-", "-"),
            ("=", "="),
        ],
    )
    def test_scalars_mean_what_they_mean_to_kubectl(self, text: str, value: object) -> None:
        found = yaml_lines.plain(text)
        assert found == value
        assert type(found) is type(value)

    def test_quoted_scalars_are_text(self) -> None:
        (document,) = yaml_lines.documents("a: '1'\nb: \"yes\"\nc: !!str 5\nd: |\n  7\n")
        assert isinstance(document, yaml_lines.Document)
        assert document.value == {"a": "1", "b": "yes", "c": "5", "d": "7\n"}

    def test_json_with_tabs_and_lists(self) -> None:
        item = '{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "j"}}'
        text = f'{{\n\t"apiVersion": "v1",\n\t"kind": "List",\n\t"items": [\n\t{item}]\n}}'
        assert reading_of(text).problems == []
        assert reading_of(text).objects == 1


class TestObjects:
    def test_lists_of_a_kind_name_the_kind_once(self) -> None:
        text = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicyList
items:
- metadata: {name: a, namespace: shop}
  spec: {podSelector: {matchLabels: {app: db}}}
- metadata: {name: b, namespace: shop}
  spec: {podSelector: {}, wrong: 1}
"""
        reading = reading_of(SHOP + PODS, text)
        assert [problem.text.partition(": is not")[0] for problem in reading.problems] == [
            "b.yaml:8: NetworkPolicy shop/b: spec.wrong"
        ]
        assert {policy.key.name for policy in reading.world().policies} == {"a", "b"}

    @pytest.mark.parametrize(
        ("kind", "version", "spec", "open_key"),
        [
            ("Deployment", "apps/v1", "template: TEMPLATE", "pod-template-hash"),
            ("StatefulSet", "apps/v1", "template: TEMPLATE", "statefulset.kubernetes.io/pod-name"),
            ("DaemonSet", "apps/v1", "template: TEMPLATE", "controller-revision-hash"),
            ("ReplicaSet", "apps/v1", "template: TEMPLATE", ""),
            ("ReplicationController", "v1", "template: TEMPLATE", ""),
            ("Job", "batch/v1", "template: TEMPLATE", "controller-uid"),
            ("CronJob", "batch/v1", "jobTemplate: {spec: {template: TEMPLATE}}", "job-name"),
        ],
    )
    def test_workloads_become_pods_of_their_name(self, kind: str, version: str, spec: str, open_key: str) -> None:
        template = "{metadata: {labels: {app: db}}, spec: {containers: [{ports: [{containerPort: 80, name: w}]}]}}"
        text = f"\n---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: made, namespace: shop}}\nspec: "
        text += f"{{{spec.replace('TEMPLATE', template)}}}\n"
        allow = policy(f"{DB}\ningress: [{{ports: [{{port: w}}]}}]")
        world = world_of(SHOP + PODS + text + allow)
        assert says(world, "shop/web", "shop/made", 80) == ALLOW
        assert says(world, "shop/web", "shop/made", 81) == DENY
        if open_key:
            by_key = policy(f"podSelector: {{matchLabels: {{{open_key}: x}}}}", "by-key")
            verdict = ask(world_of(SHOP + PODS + text + by_key), "shop/web", "shop/made", 80)
            assert verdict.verdict == UNKNOWN
            assert hangs_on(verdict) == {Assumption.LABEL_NOT_KNOWN}

    def test_a_label_of_run_time_that_makes_no_difference(self) -> None:
        text = "\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: made, namespace: shop}\n"
        text += "spec: {template: {metadata: {labels: {app: x}}, spec: {}}}\n"
        rule = "podSelector: {matchLabels: {pod-template-hash: x}}\ningress: [{ports: [{port: 80}]}]"
        world = world_of(SHOP + PODS + text + policy(rule))
        assert says(world, "shop/web", "shop/made", 80) == ALLOW, "selected or not, it is allowed"
        assert says(world, "shop/web", "shop/made", 81) == UNKNOWN

    def test_the_labels_of_a_job_are_known(self) -> None:
        text = "\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: made, namespace: shop}\n"
        text += "spec: {template: {spec: {}}}\n"
        world = world_of(SHOP + PODS + text + policy("podSelector: {matchLabels: {job-name: made}}"))
        assert says(world, "shop/web", "shop/made") == DENY

    def test_a_workload_whose_pods_are_here_is_not_expanded(self) -> None:
        text = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: front, namespace: shop}
spec: {template: {metadata: {labels: {app: front}}, spec: {}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: front-1, namespace: shop, ownerReferences: [{kind: Deployment, name: front, controller: true}]}
spec: {template: {metadata: {labels: {app: front}}, spec: {}}}
"""
        pod = """
---
apiVersion: v1
kind: Pod
metadata: {name: front-1-x, namespace: shop, ownerReferences: [{kind: ReplicaSet, name: front-1, controller: true}]}
spec: {containers: []}
"""
        assert [end.text for end in world_of(text).pods] == ["shop/front"]
        assert [end.text for end in world_of(text + pod).pods] == ["shop/front-1-x"]

    def test_two_workloads_of_one_name_are_told_apart(self) -> None:
        text = "".join(
            f"\n---\napiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: x, namespace: shop}}\n"
            f"spec: {{template: {{metadata: {{labels: {{app: {kind}}}}}, spec: {{}}}}}}\n"
            for kind in ("StatefulSet", "Deployment")
        )
        reading = reading_of(text)
        assert sorted(end.text for end in reading.world().pods) == ["shop/x", "shop/x.statefulset"]
        assert "shop/x.statefulset" in reading.problems[0].text

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ("metadata: {name: bad, namespace: shop, labels: {app: 1}}", "metadata.labels.app"),
            ("metadata: {name: bad, namespace: shop}\nspec: {hostNetwork: 'yes'}", "spec.hostNetwork"),
            (
                "metadata: {name: bad, namespace: shop}\nspec: {containers: [{ports: [{containerPort: 0}]}]}",
                "spec.containers[0].ports[0].containerPort",
            ),
            ("metadata: {name: bad, namespace: shop}\nstatus: {podIP: 10.0.0}", "status.podIP"),
            ("metadata: {name: bad, namespace: shop}\nstatus: {phase: Resting}", "status.phase"),
        ],
    )
    def test_a_refused_pod_is_unknown_at_either_end(self, spec: str, field: str) -> None:
        reading = reading_of(SHOP + PODS + CLOSED + f"\n---\napiVersion: v1\nkind: Pod\n{spec}\n")
        assert field in reading.problems[0].text
        world = reading.world()
        for pair in (("shop/bad", "ops/web"), ("ops/web", "shop/bad")):
            verdict = ask(world, *pair)
            assert verdict.verdict == UNKNOWN
            assert hangs_on(verdict) == {Assumption.UNDECIDABLE}
        assert says(world, "ops/web", "shop/db") == DENY

    def test_a_refused_namespace_has_labels_that_are_not_known(self) -> None:
        text = SHOP.replace("team: blue", "team: 5") + PODS
        rule = policy(f"{DB}\ningress: [{{from: [{{namespaceSelector: {{matchLabels: {{team: blue}}}}}}]}}]")
        reading = reading_of(text + rule)
        assert len(reading.problems) == 1
        assert says(reading.world(), "ops/web", "shop/db") == UNKNOWN

    def test_kinds_that_do_not_matter_are_passed_over_in_silence(self) -> None:
        text = "apiVersion: v1\nkind: ConfigMap\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\n"
        assert reading_of(text).problems == []
        assert reading_of(text).objects == 0

    def test_a_pod_of_an_unknown_version_is_named(self) -> None:
        assert "apiVersion is v2, expected v1" in refused("apiVersion: v2\nkind: Pod\nmetadata: {name: x}\n")


class TestFiles:
    def test_folders_are_read_below_in_order_hidden_ones_and_others_are_not(self, tmp_path: Path) -> None:
        for name in ("b.yml", "a.yaml", "sub/c.json", ".git/d.yaml", ".e.yaml", "notes.txt"):
            file = tmp_path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text("kind: [\n")
        found = [Path(problem.where.file).name for problem in read_manifests([tmp_path]).problems]
        assert found == ["a.yaml", "b.yml", "c.json"]

    def test_a_path_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"no such file"):
            read_manifests([tmp_path / "none.yaml"])
        with pytest.raises(SettingsError, match=r"no \.yaml"):
            read_manifests([tmp_path])

    def test_an_empty_file_is_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "empty.yaml").write_text("")
        (tmp_path / "comment.yaml").write_text("# nothing\n---\n")
        reading = read_manifests([tmp_path])
        assert (reading.objects, reading.problems) == (0, [])

    def test_a_large_file_is_named_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(manifest_files, "SIZE_LIMIT", 5000)
        monkeypatch.setattr(manifest_files, "_CHUNK", 70)
        plain, telling = tmp_path / "plain.yaml", tmp_path / "telling.yaml"
        plain.write_text("# x\n" * 2000)
        telling.write_text("# x\n" * 2023 + "kind: NetworkPolicy\n" + "# x\n" * 99)
        shop = tmp_path / "shop.yaml"
        shop.write_text(SHOP + PODS)
        reading = read_manifests([shop, plain])
        assert "larger than" in reading.problems[0].text
        assert says(reading.world(), "shop/web", "shop/db") == ALLOW
        assert says(read_manifests([shop, telling]).world(), "shop/web", "shop/db") == UNKNOWN

    @pytest.mark.parametrize(
        "data", [b"\xff\xfe", b"kind: NetworkPolicy\n# \xff", "kind: NetworkPolicy".encode("utf-16")]
    )
    def test_what_is_no_text_is_named(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "x.yaml").write_bytes(data)
        assert "not UTF-8" in read_manifests([tmp_path]).problems[0].text

    def test_a_byte_order_mark_and_carriage_returns_are_read(self, tmp_path: Path) -> None:
        (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbf" + (SHOP + PODS + CLOSED).replace("\n", "\r\n").encode())
        reading = read_manifests([tmp_path])
        assert reading.problems == []
        assert says(reading.world(), "shop/web", "shop/db") == DENY

    def test_a_file_that_can_not_be_read_may_hold_policies(self, tmp_path: Path) -> None:
        (tmp_path / "shop.yaml").write_text(SHOP + PODS)
        (tmp_path / "x.yaml").symlink_to(tmp_path / "gone")
        reading = read_manifests([tmp_path])
        assert "x.yaml: No such file" in reading.problems[0].text
        assert says(reading.world(), "shop/web", "shop/db") == UNKNOWN


def test_a_whole_shop_in_one_list() -> None:
    text = dedent(
        """
        apiVersion: v1
        kind: List
        items:
        - {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
        - apiVersion: v1
          kind: List
          items:
          - {apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop, labels: {app: a}}, spec: {containers: []}}
        - 5
        """
    )
    reading = reading_of(text)
    assert [problem.where.text for problem in reading.problems] == ["a.yaml:10"]
    assert [end.text for end in reading.world().pods] == ["shop/a"]
