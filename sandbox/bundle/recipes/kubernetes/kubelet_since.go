package kubelet

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// since is when this kubelet was started, in whole seconds, as conditions have them.
var since = time.Now().Truncate(time.Second)

// isNews tells whether a condition of the node was reported by this kubelet. By what the one before reported, the node may
// be ready. But a kubelet that starts reports that it is not, until it has made its CSINode; fastNodeStatusUpdate reports
// then that it is. Before that first report has come back, there is no difference to send, only a newer time: the node
// would be unready until the next status, ten seconds later. Until then no DaemonSet counts the pods of the node.
func isNews(condition *v1.NodeCondition) bool {
	return !condition.LastHeartbeatTime.Time.Before(since)
}
