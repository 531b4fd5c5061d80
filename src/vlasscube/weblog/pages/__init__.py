"""What each page shows: functions from a `vlasscube.weblog.site.Site` to what its template is filled with."""
