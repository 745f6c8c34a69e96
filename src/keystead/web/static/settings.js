// Comforts of the settings pages: copying, times in the reader's zone, dialogs that stay.
