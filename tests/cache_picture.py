"""A plain picture of a context, on which the prefix cache's operations are carried out."""

from __future__ import annotations

from localassist.engine.cache_operation import CopyPrefix, Save, Truncate
from localassist.engine.prefix_cache import PrefixCache, common_prefix
from localassist.engine.sequence import Sequence


class Kept:
    """What is hibernated: whole prefixes."""

    def __init__(self, *prefixes):
        self.prefixes = [list(prefix) for prefix in prefixes]

    def match(self, tokens):
        return max((common_prefix(prefix, tokens) for prefix in self.prefixes), default=0)

    def at_hand(self, tokens):
        return self.match(tokens)


class Context:
    """A cache and the context that it describes."""

    def __init__(self, *, num_slots=4, n_ctx=10_000, stored=None, block=1):
        self.stored = stored
        self.cache = PrefixCache(num_slots=num_slots, n_ctx=n_ctx, stored=stored, block=block)
        self.held = {seq_id: [] for seq_id in range(num_slots)}
        self.operations = []

    def carry_out(self, operations):
        """Check every operation against what the context holds."""
        for each in operations:
            self.operations.append(each)
            if isinstance(each, Truncate):
                del self.held[each.seq_id][each.length :]
            elif isinstance(each, CopyPrefix):
                assert self.held[each.seq_id] == []
                assert len(self.held[each.source_id]) >= each.length
                self.held[each.seq_id] = self.held[each.source_id][: each.length]
            elif isinstance(each, Save):
                assert self.held[each.seq_id][: len(each.tokens)] == each.tokens
                assert self.stored.match(each.tokens) >= each.start
                self.stored.prefixes.append(each.tokens)
            else:
                assert len(self.held[each.seq_id]) == each.start
                self.held[each.seq_id] = each.sequence.tokens[: each.end]
                self.cache.restored(each.sequence, each.end)
        for slot in self.cache.slots:
            assert slot.tokens == self.held[slot.seq_id]

    def begin(self, tokens, *, prompt=None):
        """A running sequence, or None if it has to wait."""
        sequence = Sequence(list(tokens), prompt or len(tokens), max_tokens=100)
        operations = self.cache.acquire(sequence)
        if operations is None:
            return None
        self.carry_out(operations)
        return sequence

    def compute(self, sequence, count=None):
        start = sequence.num_computed_tokens
        tokens = sequence.tokens[start:] if count is None else sequence.tokens[start:][:count]
        self.held[sequence.slot.seq_id] += tokens
        self.cache.append(sequence.slot, tokens)
        sequence.num_computed_tokens += len(tokens)

    def had(self, tokens):
        """A conversation that is idle now; its slot."""
        sequence = self.begin(tokens)
        slot = sequence.slot
        self.compute(sequence)
        self.cache.release(sequence)
        return slot

    def save_all(self):
        while (save := self.cache.unsaved()) is not None:
            self.carry_out([save])

    def put_out(self, *wanted, num_rows=0):
        self.carry_out(self.cache.put_out(wanted, num_rows=num_rows))
        return sorted(len(tokens) for tokens in self.held.values() if tokens)

    def gather(self, tokens, *, num_rows=1000):
        sequence = Sequence(tokens, len(tokens), max_tokens=100)
        somebody_runs = any(slot.owner for slot in self.cache.slots)
        operations = [] if somebody_runs else self.cache.gather(sequence, num_rows=num_rows)
        self.carry_out(operations)
        return bool(operations)

    def evict(self, count):
        self.carry_out(self.cache.evict(num_tokens=count))

    def kinds(self):
        kinds, self.operations = [type(each) for each in self.operations], []
        return kinds


def text(name, length):
    """Tokens that no other name has."""
    return [1000 * name + place for place in range(length)]
