"""A graph network on groups of tiles whose slide score is the mean of its nodes' scores.

Lu et al., "SlideGraph+: Whole slide image level graphs to predict HER2 status in breast cancer", Medical Image Analysis
2022, sections 2.3 and 2.4. What a node adds to the score is read off, not estimated: the node scores are the map that
the paper shows. The paper tells two classes apart by a ranking loss; any head can be taken here, trained by
cross-entropy, by ranking, or by both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from her2qp.models.bag import Bag, BagBatch, BatchGraph
from her2qp.models.heads import make_head
from her2qp.models.model import Model, ModelConfig
from her2qp.models.pooling import bag_sums, segment_sums, uniform
from her2qp.models.ranking import ranking_loss
from her2qp.models.tile_graph import GraphConfig, build_graph


class SlideGraphConfig(ModelConfig):
    """Hyperparameters of SlideGraph+; the defaults are those of the published code.

    Parameters
    ----------
    widths
        Of the layers: the first is linear, those after it look at neighbours.
    dropout
        Share of the layers whose score is left out of a slide's in training.
    ranking
        Share of the ranking loss in what is trained for; the rest is cross-entropy. 1 is the published loss.
    graph
        How nodes and edges are found.
    """

    widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(default=(16, 16, 8), min_length=1, max_length=64)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    ranking: float = Field(default=0.0, ge=0, le=1)
    graph: GraphConfig = GraphConfig()


class BatchNorm(nn.Module):
    """Batch normalisation that takes a single row as it comes, and counts no batches."""

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, rows: Tensor) -> Tensor:
        """Normalise rows (n, w): in training by their own mean and variance, if there are two at least."""
        learning = self.training and len(rows) > 1
        return batch_norm(rows.float(), self.mean, self.variance, self.weight, self.bias, learning)


class EdgeConv(nn.Module):
    """h_i' = max over neighbours j of ReLU(BN(W [h_i, h_j - h_i])).

    Wang et al., "Dynamic graph CNN for learning on point clouds", ACM Transactions on Graphics 2019, equations 1 and 8.
    """

    def __init__(self, width: int, new_width: int) -> None:
        super().__init__()
        self.own = nn.Linear(width, new_width)
        self.step = nn.Linear(width, new_width, bias=False)
        self.norm = BatchNorm(new_width)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Update nodes (m, w) by what comes along edges (2, e); each node is reached by one at least."""
        source, target = edges
        stepped = self.step(nodes)
        messages = torch.relu(self.norm((self.own(nodes) - stepped)[target] + stepped[source]))
        rows = target[:, None].expand_as(messages)
        # The messages are at least 0, and so is where the maximum starts from.
        return messages.new_zeros(len(nodes), messages.shape[1]).scatter_reduce(0, rows, messages, "amax")


class SlideGraph(Model):
    """Slide score = Σ over layers of the mean over nodes of a linear score of each node's state.

    The linear embedding is taken tile by tile, before tiles are averaged into nodes: that comes to the same.

    Parameters
    ----------
    config
        Hyperparameters.
    """

    architecture = "slidegraph"

    def __init__(self, config: SlideGraphConfig) -> None:
        super().__init__(config)
        self._config = config
        self.embedding = nn.Linear(config.dimension, config.widths[0])
        self.norm = BatchNorm(config.widths[0])
        self.layers = nn.ModuleList(
            EdgeConv(width, new) for width, new in zip(config.widths, config.widths[1:], strict=False)
        )
        self.dropout = nn.Dropout(config.dropout)
        # One linear map of all layers side by side is the sum of one for each.
        self.head = make_head(config.head, sum(config.widths), config.classes)

    @property
    def config(self) -> SlideGraphConfig:
        """The hyperparameters."""
        return self._config

    def prepare(self, bag: Bag) -> Bag:
        """Make the graph of a bag that has none yet."""
        bag = super().prepare(bag)
        if bag.graph is not None:
            return bag
        return replace(bag, graph=build_graph(bag.features, bag.positions_um, bag.tile_um, self.config.graph))

    def embed_standardised(self, features: Tensor) -> Tensor:
        """Embed features (n, d) as (n, w)."""
        return torch.as_tensor(self.embedding(features))

    def classify(self, tiles: Tensor, batch: BagBatch) -> Tensor:
        """Logits (b, c) from embedded tiles (n, w)."""
        return self.head.logits(self._scores(self._states(tiles, batch.known_graph), batch.known_graph))

    def classify_with_attention(self, tiles: Tensor, batch: BagBatch) -> tuple[Tensor, Tensor]:
        """Logits (b, c), and the map of the class that the model takes: shape (n,), at least 0, sum 1 over each bag.

        A tile's share is the score that its node gives this class over the mean of the classes, counted from the
        lowest node of the slide.
        """
        graph = batch.known_graph
        states = self._states(tiles, graph)
        logits = self.head.logits(self._scores(states, graph))
        by_node = self._node_evidence(states, graph)
        contrast = by_node - by_node.mean(dim=1, keepdim=True)
        taken = logits.argmax(dim=1)[graph.bag_of_node]
        scores = contrast.gather(1, taken[:, None])[graph.node_of_tile, 0]
        bags = batch.bag_of_tile
        lowest = scores.new_full((len(batch),), torch.inf).scatter_reduce(0, bags, scores, "amin")
        above = scores - lowest[bags]
        total = bag_sums(above, batch)[bags]
        return logits, torch.where(total > 0, above / total, uniform(batch))

    def evidence(self, batch: BagBatch) -> Tensor:
        """What each tile adds to each logit, shape (n, c): its node's scores, divided among nodes and their tiles.

        With a categorical head they add up to the logits. Logits of other heads are not linear in the scores, which
        count by the gradient there.
        """
        graph = batch.known_graph
        nodes_a_bag = graph.bag_of_node.bincount(minlength=len(batch))[batch.bag_of_tile]
        tiles_a_node = graph.node_of_tile.bincount()[graph.node_of_tile]
        by_node = self._node_evidence(self._states(self.embed(batch), graph), graph)
        return by_node[graph.node_of_tile] / (nodes_a_bag * tiles_a_node)[:, None]

    def loss(self, logits: Tensor, labels: Tensor, batch: BagBatch) -> Tensor:
        """Cross-entropy and ranking loss, by the configured share."""
        share = self.config.ranking
        return (1 - share) * super().loss(logits, labels, batch) + share * ranking_loss(logits, labels)

    def _states(self, tiles: Tensor, graph: BatchGraph) -> Tensor:
        """States of the nodes in all layers, side by side, shape (m, w)."""
        count = len(graph.bag_of_node)
        sizes = graph.node_of_tile.bincount(minlength=count)
        means = segment_sums(tiles.float(), graph.node_of_tile, count) / sizes[:, None]
        states = [torch.relu(self.norm(means))]
        edges = graph.edges_with_lonely_loops()
        for layer in self.layers:
            states.append(layer(states[-1], edges))
        return torch.cat(states, dim=1)

    def _scores(self, states: Tensor, graph: BatchGraph) -> Tensor:
        """Scores of the slides, before the head's rule, shape (b, s)."""
        bags = len(graph.node_counts)
        means = segment_sums(states, graph.bag_of_node, bags) / states.new_tensor(graph.node_counts)[:, None]
        kept = self.dropout(means.new_ones(bags, len(self.config.widths)))
        widths = torch.tensor(self.config.widths, device=kept.device)
        return self.head.scores(means * kept.repeat_interleave(widths, dim=1))

    def _node_evidence(self, states: Tensor, graph: BatchGraph) -> Tensor:
        """Score of each node for each class, shape (m, c): by the gradient of the slide's logits in its scores."""
        states = states.detach()
        scores = self._scores(states, graph).detach().requires_grad_()
        with torch.enable_grad():
            logits = self.head.logits(scores).sum(dim=0)
            slopes = [torch.autograd.grad(logit, scores, retain_graph=True)[0] for logit in logits]
        slopes_of_bag = torch.stack(slopes, dim=1)
        return (slopes_of_bag[graph.bag_of_node] * self.head.scores(states).detach()[:, None]).sum(dim=-1)
