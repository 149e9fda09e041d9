"""What a workload takes from its group: the host's own word first, then the metadata's, then the template's."""

from __future__ import annotations

from typing import Any

from sidecar.registration.groups import TemplatePort, from_group, template_ports
from sidecar.registration.record import OwnWorkload
from store.objects.workload_group import WorkloadGroup

OWN = OwnWorkload("reviews-vm-1", "default", "", {"app": "own"}, ())


def group(**spec: Any) -> WorkloadGroup:
    return WorkloadGroup.model_validate(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "WorkloadGroup",
            "metadata": {"name": "reviews", "namespace": "default"},
            "spec": {"template": {}, **spec},
        }
    )


def test_labels_of_the_host_beat_those_of_the_metadata_and_these_the_templates() -> None:
    given = group(
        metadata={"labels": {"app": "metadata", "version": "metadata"}},
        template={"labels": {"app": "template", "version": "template", "class": "template"}},
    )
    assert from_group(OWN, given, locality="", network="").labels == {
        "app": "own",
        "version": "metadata",
        "class": "template",
    }


def test_the_template_says_what_the_host_does_not() -> None:
    template = {"weight": 7, "serviceAccount": "sa", "locality": "eu/a", "network": "n"}
    made = from_group(OWN, group(template=template), locality="", network="")
    assert (made.weight, made.service_account, made.locality, made.network) == (
        7,
        "sa",
        "eu/a",
        "n",
    )


def test_place_of_the_host_beats_the_templates() -> None:
    template = {"locality": "eu/a", "network": "n"}
    made = from_group(OWN, group(template=template), locality="us/b", network="m")
    assert (made.locality, made.network) == ("", "")


def test_ports_are_told_by_name() -> None:
    ports = template_ports(group(template={"ports": {"http": 8080, "grpc": 9090}}))
    assert ports == (TemplatePort("grpc", 9090), TemplatePort("http", 8080))


def test_annotations_are_those_of_the_metadata() -> None:
    given = group(metadata={"annotations": {"owner": "team-a"}})
    assert from_group(OWN, given, locality="", network="").annotations == {"owner": "team-a"}
