package runtime

import (
	"reflect"
	"sync"
)

var (
	fields     = map[structField]*fieldInfo{}
	fieldsLock sync.RWMutex
)

// fieldInfoFromField returns what is to know about a field, which it remembers. Upstream copies what it knows of all fields
// for each that is new.
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
