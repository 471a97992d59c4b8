"""What holds after an operation that failed or was interrupted."""

from __future__ import annotations

from langchain_tablestore_memory import WriteError


def check_kept(operation, expected, world, error):
    """Nothing is lost, doubled or mixed up that the operation did not mean to change, and the error names the rest."""
    contents = world.contents()
    assert contents.faults == ()
    before, after = expected.before.versions(), expected.after.versions()
    present = contents.versions()
    assert before & after <= present <= before | after
    if isinstance(error, WriteError):
        assert {*error.failed, *error.stored} >= operation.named(operation.adds)
        # What was added and not there is not said to be stored.
        there = operation.named(row_id for _, row_id, _ in present)
        assert not operation.named(operation.adds) & set(error.stored) - there
        assert error.failed
        assert all(name in str(error) for name in error.failed[:5])
    for conversation, messages in expected.before.messages.items():
        if messages == expected.after.messages.get(conversation):
            assert contents.messages[conversation] == messages


def check_repeated(operation, expected, world, perform, subject):
    """Calling it again, now that nothing fails, does what it would have done."""
    try:
        perform(operation, subject)
    except operation.repeated:
        return
    assert world.contents() == expected.after
