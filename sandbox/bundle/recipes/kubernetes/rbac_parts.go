package rest

import (
	"slices"
	"sync"
	"sync/atomic"

	clientset "k8s.io/client-go/kubernetes"
)

// parts is how many objects of each kind are made at a time.
const parts = 4

// ensureInParts ensures a policy as ensureRBACPolicy does, several objects at a time. An API server makes some 150 when it
// first starts, and is not ready before. What the policy replaces is copied first, as upstream does.
func ensureInParts(p *PolicyData, client clientset.Interface) (bool, error) {
	replaced := &PolicyData{
		ClusterRolesToAggregate:    p.ClusterRolesToAggregate,
		ClusterRoleBindingsToSplit: p.ClusterRoleBindingsToSplit,
	}
	if done, err := ensureRBACPolicy(replaced, client); !done || err != nil {
		return done, err
	}
	policies := []*PolicyData{{Roles: p.Roles, RoleBindings: p.RoleBindings}}
	for roles := range slices.Chunk(p.ClusterRoles, len(p.ClusterRoles)/parts+1) {
		policies = append(policies, &PolicyData{ClusterRoles: roles})
	}
	for bindings := range slices.Chunk(p.ClusterRoleBindings, len(p.ClusterRoleBindings)/parts+1) {
		policies = append(policies, &PolicyData{ClusterRoleBindings: bindings})
	}
	var failed atomic.Bool
	var group sync.WaitGroup
	for _, policy := range policies {
		group.Go(func() {
			if done, err := ensureRBACPolicy(policy, client); !done || err != nil {
				failed.Store(true)
			}
		})
	}
	group.Wait()
	return !failed.Load(), nil
}
