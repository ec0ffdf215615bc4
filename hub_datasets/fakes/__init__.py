"""Generated stand-ins of the licensed corpora: true trees and sheets, made-up content, one file per corpus."""
