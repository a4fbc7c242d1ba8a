package runtime

import (
	"reflect"
	"sync"
)

var (
	fields     = map[structField]*fieldInfo{}
	fieldsLock sync.RWMutex
)

// fieldInfoFromField returns what is known about a field, and remembers it. Upstream copies what it knows about all fields
// for each new one.
func fieldInfoFromField(structType reflect.Type, field int) *fieldInfo {
	key := structField{structType, field}
	fieldsLock.RLock()
	info, ok := fields[key]
	fieldsLock.RUnlock()
	if !ok {
		info = newFieldInfo(structType, field)
		fieldsLock.Lock()
		fields[key] = info
		fieldsLock.Unlock()
	}
	return info
}
