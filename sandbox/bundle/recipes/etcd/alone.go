package etcdserver

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.uber.org/zap"
)

// pause is how long a member waits that cannot be elected yet, for it has not applied what is committed.
const pause = 5 * time.Millisecond

// standForElection makes a lone member the leader at once: it would wait for rivals for up to twice the election
// timeout. Several members wait as ever.
func (s *EtcdServer) standForElection() {
	if len(s.cluster.Members()) > 1 {
		s.adjustTicks()
		return
	}
	for s.getLead() == raft.None {
		// A candidate has voted for itself, and another campaign would undo that on a disk slower than the pause. And raft
		// looks for changes of members in what is committed and not applied yet (raft.go: hasUnappliedConfChanges): it panics
		// where a hundred entries have been applied without its knowledge, for the log is compacted then (compactRaftLog).
		if status := s.r.Status(); status.RaftState == raft.StateFollower && status.Applied == status.Commit {
			if err := s.r.Campaign(s.ctx); err != nil {
				s.Logger().Warn("failed to campaign", zap.Error(err))
				return
			}
		}
		select {
		case <-time.After(pause):
		case <-s.stopping:
			return
		}
	}
}
