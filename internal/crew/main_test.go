package crew

import (
	"testing"

	"github.com/penlb/pen/internal/testnet"
)

func TestMain(m *testing.M) { testnet.Main(m) }
